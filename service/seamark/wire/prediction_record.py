"""One prediction record as people send it becomes a checked Prediction, or the reason why it cannot be taken."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from seamark.wire.attributes import to_json
from seamark.wire.documents import Broken
from seamark.wire.prediction_rows import Prediction
from seamark.wire.values import (
    NAME_LENGTH_MAX,
    RowRefused,
    clean_name,
    read_instant_us,
    read_key,
    read_name,
    read_number,
    read_trace_id,
    shown,
)
from seamark.wire.vectors import VECTOR_NUMBERS_MAX, read_vector

FEATURES_MAX = 1_000  # of one record, and of one model in one request
SCORES_MAX = 1_000
SEGMENTS_MAX = 100
FIELDS = (
    "model",
    "version",
    "prediction_id",
    "at",
    "trace_id",
    "segment",
    "features",
    "prediction",
    "scores",
    "latency_ms",
    "synthetic",
)


def read_prediction(record: object, index: int, received_us: int, new_id: Callable[[], str]) -> Prediction:
    """Return one checked record; RowRefused names the field and what would be right."""
    found = check_fields(record, FIELDS, "a prediction")
    number, text = read_outcome(found.get("prediction"), "prediction")
    out = Prediction(
        index=index,
        model=read_name(found.get("model"), "model"),
        version=_optional_name(found.get("version"), "version"),
        prediction_id=read_key(found["prediction_id"], "prediction_id") if "prediction_id" in found else new_id(),
        at_us=read_instant_us(found["at"], "at") if "at" in found else received_us,
        trace_id=read_trace_id(found["trace_id"], "trace_id") if "trace_id" in found else None,
        segment=read_segment(found.get("segment")),
        number=number,
        text=text,
        scores=read_scores(found.get("scores")),
        latency_ms=_latency_ms(found.get("latency_ms")),
        synthetic=_flag(found.get("synthetic"), "synthetic"),
    )
    _split_features(found.get("features"), out)
    return out


def check_fields(record: object, fields: tuple[str, ...], what: str) -> dict[str, Any]:
    """Return the record's fields that are not null; a field of another name is refused, not silently dropped."""
    if isinstance(record, Broken):
        raise RowRefused(record.reason)
    if not isinstance(record, Mapping):
        raise RowRefused(f"{what} is an object, not {shown(record)}")
    for name in record:
        if name not in fields:
            near = difflib.get_close_matches(str(name)[:100], fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(fields)}"
            raise RowRefused(f"{shown(name)} is no field of {what}; {hint}")
    return {name: value for name, value in record.items() if value is not None}


def read_outcome(value: Any, name: str) -> tuple[float | None, str | None]:
    """Return a prediction or a label as (number, text), one of which is None: true and false are 1 and 0."""
    if value is None:
        return None, None
    if isinstance(value, str):
        return None, value
    if isinstance(value, int | float):
        return read_number(int(value) if isinstance(value, bool) else value, name), None
    raise RowRefused(f"{name}: {shown(value)} is no number and no string")


def _split_features(features: Any, out: Prediction) -> None:
    if features is None:
        return
    if not isinstance(features, Mapping):
        raise RowRefused(f"features: {shown(features)} is not an object of names and values")
    if len(features) > FEATURES_MAX:
        raise RowRefused(f"features: {len(features)} names; at most {FEATURES_MAX} are taken")
    for name, value in features.items():
        fault = name_fault(name)
        if fault:
            raise RowRefused(f"features: the name {shown(name)} {fault}")
        kind = type(value)
        if value is None:
            out.unknown.append(name)
        elif kind is float and math.isfinite(value):
            out.numeric[name] = value
        elif kind is str:
            out.categorical[name] = value
        elif kind is bool:
            out.categorical[name] = "true" if value else "false"
        elif kind is int or kind is float:
            out.numeric[name] = read_number(value, f"features.{name}")
        elif kind is list:
            out.vectors[name] = read_vector(value, f"features.{name}")
        else:
            raise RowRefused(f"features.{name}: {shown(value)} is no number, string, boolean, list of numbers or null")
    numbers = sum(map(len, out.vectors.values()))
    if numbers > VECTOR_NUMBERS_MAX:
        raise RowRefused(f"features: lists of {numbers:,} numbers in all; at most {VECTOR_NUMBERS_MAX:,} are taken")


@lru_cache(maxsize=4_096)
def name_fault(name: str) -> str:
    """Return what is wrong with a feature's name, "" for nothing. Names come again and again: hence the cache."""
    if not 0 < len(name) <= NAME_LENGTH_MAX:
        return f"must have 1 to {NAME_LENGTH_MAX} characters"
    return "" if clean_name(name) == name else "holds control characters or space around it"


def read_segment(value: Any) -> str | None:
    """Return a segment as JSON text."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > SEGMENTS_MAX:
        raise RowRefused(f"segment: {shown(value)} is not an object of at most {SEGMENTS_MAX} names and values")
    for name, item in value.items():
        if isinstance(item, float | int) and not isinstance(item, bool):
            read_number(item, f"segment.{shown(name)}")
        elif not isinstance(item, str | bool | None):
            raise RowRefused(f"segment.{shown(name)}: {shown(item)} is no number, string, boolean or null")
    return to_json(value)


def read_scores(value: Any) -> str | None:
    """Return the scores that are known as JSON text."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > SCORES_MAX:
        raise RowRefused(f"scores: {shown(value)} is not an object of at most {SCORES_MAX} classes and probabilities")
    known = {name: item for name, item in value.items() if item is not None}
    return to_json({name: read_number(item, f"scores.{shown(name)}") for name, item in known.items()})


def _latency_ms(value: Any) -> float | None:
    if value is None:
        return None
    latency_ms = read_number(value, "latency_ms")
    if latency_ms < 0:
        raise RowRefused(f"latency_ms: {shown(value)} is negative")
    return latency_ms


def _optional_name(value: Any, name: str) -> str:
    return "" if value is None or value == "" else read_name(value, name)


def _flag(value: Any, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RowRefused(f"{name}: {shown(value)} is neither true nor false")
