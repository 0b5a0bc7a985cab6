"""An Arrow IPC stream of prediction records becomes columns without a Python object per value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seamark.core.records import Decoded, Refusal
from seamark.wire.arrow_stream import as_records, read_record_table
from seamark.wire.feature_columns import FeaturePairs, Features, FeatureStructs, NoFeatures, Places, Unusual, as_feature
from seamark.wire.name_columns import read_each, read_instants, read_trace_ids
from seamark.wire.prediction_columns import Columns, build_columns
from seamark.wire.prediction_record import FIELDS, read_prediction, read_scores, read_segment
from seamark.wire.values import RowRefused
from seamark.wire.vector_columns import is_vectors


def decode_arrow_columns(body: bytes, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return the records of the stream. Unusual: they must be read one by one; errors as in read_stream()."""
    table = read_record_table(body)
    if not table.num_rows or not set(table.column_names) <= set(FIELDS) or "model" not in table.column_names:
        raise Unusual
    try:
        columns = _columns(table.combine_chunks())
    except pa.ArrowException:  # a conversion that Arrow does not have
        raise Unusual from None

    def judge(odd: Places) -> list[Refusal]:
        records = as_records(table.take(pa.array(odd)))
        return [_refusal(record, place) for record, place in zip(records, odd.tolist(), strict=True)]

    return build_columns(columns, judge, (), received_us, new_id)


def _refusal(record: dict[str, Any], place: int) -> Refusal:
    try:
        read_prediction(record, place, 1, str)
    except RowRefused as refused:
        return Refusal(place, str(refused))
    raise Unusual


def _columns(table: pa.Table) -> Columns:
    rows = table.num_rows
    odd = np.zeros(rows, bool)
    fields: dict[str, pa.Array] = {}
    features: Features = NoFeatures(rows)
    for name, chunked in zip(table.column_names, table.columns, strict=True):
        column = chunked.chunk(0)
        if pa.types.is_null(column.type):
            continue
        if name == "features":
            features = _features(column)
        elif name == "prediction":
            words = _is_text(column.type)
            fields["prediction_text" if words else "prediction_number"] = _text(column) if words else _number(column)
        else:
            fields[name], refused = _READERS[name](column)
            odd[refused] = True
    return Columns(rows, fields, features, odd)


def _features(column: pa.Array) -> Features:
    if pa.types.is_struct(column.type):
        return FeatureStructs(column)
    if not pa.types.is_map(column.type):
        raise Unusual
    lengths = np.diff(column.offsets.to_numpy())
    if column.null_count:
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
        column = column.filter(column.is_valid())
    if is_vectors(column.items.type):
        raise Unusual
    keys, values = column.keys, as_feature(column.items)
    first, last = (int(column.offsets[place].as_py()) for place in (0, len(column)))
    keys, values = _text(keys.slice(first, last - first)), values.slice(first, last - first)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    if pa.types.is_string(values.type):
        return FeaturePairs(len(lengths), owners, keys, np.full(len(keys), np.nan), np.zeros(len(keys), bool), values)
    known = values.is_valid().to_numpy(zero_copy_only=False)
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return FeaturePairs(len(lengths), owners, keys, numbers, known, pa.nulls(len(keys), pa.string()))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _text(column: pa.Array) -> pa.Array:
    if not _is_text(column.type):
        raise Unusual
    return column.cast(pa.string())


def _number(column: pa.Array) -> pa.Array:
    """Return numbers and booleans as float64, as Python has it: the nearest one."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise Unusual
    return column.cast(pa.float64(), safe=False)


def _plain_text(column: pa.Array) -> tuple[pa.Array, list[int]]:
    return _text(column), []


def _key(column: pa.Array) -> tuple[pa.Array, list[int]]:
    return column.cast(pa.string()) if pa.types.is_integer(column.type) else _text(column), []


def _instant(column: pa.Array) -> tuple[pa.Array, list[int]]:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64()), []
    return read_instants(column.to_pylist())


def _trace_id(column: pa.Array) -> tuple[pa.Array, list[int]]:
    return read_trace_ids(column.to_pylist())


def _latency_ms(column: pa.Array) -> tuple[pa.Array, list[int]]:
    if pa.types.is_boolean(column.type):
        raise Unusual
    return _number(column), []


def _synthetic(column: pa.Array) -> tuple[pa.Array, list[int]]:
    if not pa.types.is_boolean(column.type):
        raise Unusual
    return column, []


def _each(read: Callable[[Any], str | None]) -> Callable[[pa.Array], tuple[pa.Array, list[int]]]:
    def read_objects(column: pa.Array) -> tuple[pa.Array, list[int]]:
        values: Sequence[Any] = column.to_pylist()
        if pa.types.is_map(column.type):
            values = [None if pairs is None else dict(pairs) for pairs in values]
        return read_each(values, read, pa.string())

    return read_objects


_READERS: dict[str, Callable[[pa.Array], tuple[pa.Array, list[int]]]] = {
    "model": _plain_text,
    "version": _plain_text,
    "prediction_id": _key,
    "at": _instant,
    "trace_id": _trace_id,
    "segment": _each(read_segment),
    "scores": _each(read_scores),
    "latency_ms": _latency_ms,
    "synthetic": _synthetic,
}
