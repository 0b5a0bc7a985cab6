"""What a model server hands over becomes attributes that every OpenTelemetry encoder takes.

One value that protobuf cannot hold (a lone surrogate, an integer of more than 64 bits) would lose the whole batch it
travels in; so each value is made safe here, one record at a time.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREDICTION_EVENT = "seamark.prediction"
LABEL_EVENT = "seamark.label"

PREDICTION_ID = "seamark.prediction.id"
PREDICTION_VALUE = "seamark.prediction.value"
LATENCY_MS = "seamark.prediction.latency_ms"
FEATURES = "seamark.features"
SCORES = "seamark.scores"
SEGMENT = "seamark.segment"
LABEL_VALUE = "seamark.label.value"
SYNTHETIC = "user_agent.synthetic.type"

NAME_LENGTH_MAX = 256
TEXT_LENGTH_MAX = 1_024
ENTRIES_MAX = 1_000  # of one map
DIMENSION_MAX = 4_096  # of one list of numbers

Scalar = str | bool | int | float | None
_TEXT_TYPES = (dt.datetime, dt.date, dt.time, uuid.UUID)


class NotAScalar(ValueError):
    """The value is no number, text, truth value or None."""


@dataclass
class Cuts:
    """What did not fit: names of features left out, and how many texts were shortened."""

    left_out: list[str] = field(default_factory=list)
    shortened: int = 0

    @property
    def count(self) -> int:
        """How many values are not as they were handed over."""
        return len(self.left_out) + self.shortened


def prediction_attributes(
    prediction_id: str,
    features: dict[str, Scalar] | str,
    prediction: Any,
    scores: Mapping[Any, Any] | None,
    segment: Mapping[str, Any] | None,
    latency_ms: float | None,
    synthetic: str | None,
    cuts: Cuts,
) -> dict[str, Any]:
    """Return the attributes of a `seamark.prediction` event; NotAScalar where the prediction is no single value.

    `features` are clean already (vectors.clean_features).
    """
    attributes: dict[str, Any] = {
        PREDICTION_ID: clean_id(prediction_id),
        PREDICTION_VALUE: clean_outcome(prediction, "prediction", cuts),
        FEATURES: features,
    }
    if latency_ms is not None:
        attributes[LATENCY_MS] = float(latency_ms)
    if scores:
        attributes[SCORES] = clean_map(scores, cuts)
    if segment:
        attributes[SEGMENT] = clean_map(segment, cuts)
    if synthetic:
        attributes[SYNTHETIC] = synthetic
    return attributes


def label_attributes(prediction_id: str, label: Any, cuts: Cuts) -> dict[str, Any]:
    """Return the attributes of a `seamark.label` event; NotAScalar where the label is no single value."""
    return {PREDICTION_ID: clean_id(prediction_id), LABEL_VALUE: clean_outcome(label, "label", cuts)}


def clean_id(prediction_id: Any) -> str:
    """Return an id as text of 1 to 256 characters; NotAScalar otherwise: a shortened id would join nothing."""
    text = _encodable(str(prediction_id)).strip()
    if not 0 < len(text) <= NAME_LENGTH_MAX:
        raise NotAScalar(f"prediction_id has {len(text)} characters; write 1 to {NAME_LENGTH_MAX}")
    return text


def clean_outcome(value: Any, what: str, cuts: Cuts) -> str | int | float:
    """Return a prediction or a label: a number or a text; True and False become 1 and 0, so that all compare."""
    try:
        cleaned = clean_scalar(value, cuts)
    except NotAScalar:
        cleaned = None
    if cleaned is None:
        raise NotAScalar(f"{what} is a {type(value).__name__}; hand over one finite number, text or truth value")
    return int(cleaned) if isinstance(cleaned, bool) else cleaned


def clean_map(values: Mapping[Any, Any], cuts: Cuts) -> dict[str, Scalar]:
    """Return a map of at most 1,000 single values by name; what is left out is noted in `cuts`."""
    cleaned: dict[str, Scalar] = {}
    for key, value in values.items():
        name = clean_name(key)
        if not 0 < len(name) <= NAME_LENGTH_MAX or len(cleaned) >= ENTRIES_MAX:
            cuts.left_out.append(name[:NAME_LENGTH_MAX])
            continue
        try:
            cleaned[name] = clean_scalar(value, cuts)
        except NotAScalar:
            cuts.left_out.append(name)
    return cleaned


def clean_name(key: Any) -> str:
    """Return a name as text that OTLP can carry."""
    return _encodable(str(key)).strip()


def clean_scalar(value: Any, cuts: Cuts) -> Scalar:
    """Return a single value as Python's own; NaN and the infinities are not known, so None.

    NumPy's and others' one-element values are taken through their `item()`. NotAScalar for everything else.

    >>> clean_scalar(float("nan"), Cuts()), clean_scalar(2**70, Cuts()), clean_scalar(True, Cuts())
    (None, 1.1805916207174113e+21, True)
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _finite(value)
    if isinstance(value, float | decimal.Decimal):
        return _finite(value)
    if isinstance(value, str):
        return _text(value, cuts)
    if isinstance(value, _TEXT_TYPES):
        return str(value)
    return _from_item(value, cuts)


def _from_item(value: Any, cuts: Cuts) -> Scalar:
    item = getattr(value, "item", None)
    if callable(item):
        try:
            plain = item()
        except Exception:  # noqa: BLE001 - foreign code: an array of several elements raises what it likes
            plain = value
        if isinstance(plain, str | bool | int | float | decimal.Decimal | None):
            return clean_scalar(plain, cuts)
    raise NotAScalar(f"{type(value).__name__} is no single value")


def _finite(value: int | float | decimal.Decimal) -> float | None:
    try:
        number = float(value)
    except (OverflowError, ValueError):  # ValueError: a signalling NaN
        return None
    return number if math.isfinite(number) else None


def _text(value: str, cuts: Cuts) -> str:
    if len(value) > TEXT_LENGTH_MAX:
        cuts.shortened += 1
    return _encodable(value[:TEXT_LENGTH_MAX])


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
