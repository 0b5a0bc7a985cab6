"""A body of JSON prediction records, an array or a record per line, becomes columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from seamark.core.records import Decoded, Refusal
from seamark.wire.budget import check_rows
from seamark.wire.documents import check_lines, read_line
from seamark.wire.feature_columns import FeatureDicts, Features, NoFeatures, Places, Unusual
from seamark.wire.name_columns import read_each, read_instants, read_trace_ids
from seamark.wire.prediction_columns import Columns, build_columns
from seamark.wire.prediction_record import read_prediction, read_scores, read_segment
from seamark.wire.values import RowRefused

_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
_FIELDS = ("prediction_id", "at", "trace_id", "segment", "prediction", "scores")


class Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A prediction record as most senders write it."""

    model: str
    version: str | None = None
    prediction_id: str | int | None = None
    at: str | int | float | None = None
    trace_id: str | None = None
    segment: dict[str, str | bool | int | float | None] | None = None
    features: dict[str, float | str | bool | list[float] | None] | None = None
    prediction: float | str | bool | None = None
    scores: dict[str, float | None] | None = None
    latency_ms: float | None = None
    synthetic: bool | None = None


_RECORD = msgspec.json.Decoder(Record)
_RECORDS = msgspec.json.Decoder(list[Record])


def decode_json_columns(body: bytes, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return the records of a JSON array. Unusual: they must be read one by one."""
    try:
        records = _RECORDS.decode(body)
    except _UNREADABLE:
        raise Unusual from None
    check_rows(len(records), "records")

    def judge(places: Places) -> Sequence[Refusal]:
        raise Unusual

    return build_columns(_columns(records), judge, (), received_us, new_id)


def decode_line_columns(body: bytes, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return the records of NDJSON. Unusual: they must be read one by one."""
    check_lines(body)
    records: list[Record] = []
    places: list[int] = []  # of `records` in the request
    others: list[tuple[int, bytes]] = []
    place = 0
    decode = _RECORD.decode
    for line in BytesIO(body):
        try:
            records.append(decode(line))
            places.append(place)
        except _UNREADABLE:
            if not line.strip():
                continue
            others.append((place, line))
        place += 1
    check_rows(place, "records")
    refused = [_refusal(line, place) for place, line in others]
    if not records:
        return Decoded({}, tuple(refused))

    def judge(odd: Places) -> list[Refusal]:
        wanted = {places[place] for place in odd.tolist()}
        lines = (line for line in BytesIO(body) if line.strip())
        return [_refusal(line, place) for place, line in enumerate(lines) if place in wanted]

    found = build_columns(_columns(records), judge, refused, received_us, new_id)
    return replace(found, places=np.array(places)[np.asarray(found.places, np.int64)])


def _refusal(line: bytes, place: int) -> Refusal:
    try:
        read_prediction(read_line(line), place, 1, str)
    except RowRefused as refused:
        return Refusal(place, str(refused))
    raise Unusual


def _columns(records: Sequence[Record]) -> Columns:
    """Return the records by field; there is at least one."""
    rows = len(records)
    odd = np.zeros(rows, bool)
    fields = {
        "model": pa.array([record.model for record in records], pa.string()),
        "version": pa.array([record.version for record in records], pa.string()),
        "latency_ms": pa.array([record.latency_ms for record in records], pa.float64()),
        "synthetic": pa.array([record.synthetic for record in records], pa.bool_()),
    }
    outcomes = [record.prediction for record in records]
    fields["prediction_number"], fields["prediction_text"] = _outcomes(outcomes)
    for name, read in _READERS.items():
        values = [getattr(record, name) for record in records]
        if values.count(None) < rows:
            fields[name], bad = read(values)
            odd[bad] = True
    features = [record.features for record in records]
    some: Features = NoFeatures(rows) if features.count(None) == rows else FeatureDicts(features)
    return Columns(rows, fields, some, odd)


def _outcomes(values: Sequence[float | str | bool | None]) -> tuple[pa.Array, pa.Array]:
    """Return predictions as numbers and as words."""
    kinds = set(map(type, values))
    words = [value if type(value) is str else None for value in values] if str in kinds else []
    numbers = [None if type(value) is str else value for value in values] if words else values
    return (
        pa.array(numbers, pa.float64()),
        pa.array(words, pa.string()) if words else pa.nulls(len(values), pa.string()),
    )


def _keys(values: Sequence[str | int | None]) -> tuple[pa.Array, list[int]]:
    if int not in set(map(type, values)):
        return pa.array(values, pa.string()), []
    huge = [place for place, value in enumerate(values) if type(value) is int and abs(value) >= 2**64]
    return pa.array([str(value) if type(value) is int else value for value in values], pa.string()), huge


_READERS: dict[str, Callable[[Sequence[Any]], tuple[pa.Array, list[int]]]] = {
    "prediction_id": _keys,
    "at": read_instants,
    "trace_id": read_trace_ids,
    "segment": lambda values: read_each(values, read_segment, pa.string()),
    "scores": lambda values: read_each(values, read_scores, pa.string()),
}
