"""Feature lists as they lie in the lake, to named columns and back; whole columns at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import FeatureSchema

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class FeatureColumns:
    """Named feature columns, each of `rows` values: numbers with NaN, text with None where a row has no value.

    `sampled` says that the rows are a part of more.
    """

    numeric: Mapping[str, FloatArray]
    categorical: Mapping[str, TextArray]
    rows: int
    sampled: bool = False


def named_columns(found: pa.Table, schemas: Mapping[int, FeatureSchema], *, sampled: bool = False) -> FeatureColumns:
    """Return rows with schema_id, numeric and categorical as named columns; rows of unknown schemas are left out.

    A feature that is numbers in some rows and text in others is what most values are; the others count as missing.
    """
    ids = found["schema_id"].to_numpy()
    known = [schema_id for schema_id in np.unique(ids).tolist() if schema_id in schemas]
    places = {schema_id: np.flatnonzero(ids == schema_id) for schema_id in known}
    rows = sum(len(place) for place in places.values())
    numeric: dict[str, FloatArray] = {}
    categorical: dict[str, TextArray] = {}
    start = 0
    for schema_id, place in places.items():
        part = found.take(pa.array(place)) if len(known) > 1 or rows < len(ids) else found
        schema, end = schemas[schema_id], start + len(place)
        numbers = _matrix(part["numeric"], len(schema.numeric)).astype(np.float64)
        texts = _matrix(part["categorical"], len(schema.categorical))
        for index, name in enumerate(schema.numeric):
            numeric.setdefault(name, np.full(rows, np.nan))[start:end] = numbers[:, index]
        for index, name in enumerate(schema.categorical):
            categorical.setdefault(name, np.full(rows, None, dtype=object))[start:end] = texts[:, index]
        start = end
    for name in numeric.keys() & categorical.keys():
        # Null throughout, a feature lies under numbers until rows tell its type; and a new reference may change it.
        numbers, texts = (
            np.isfinite(numeric[name]).sum(),
            pa.array(categorical[name], pa.string()).is_valid().true_count,
        )
        del (numeric if numbers < texts else categorical)[name]
    return FeatureColumns(numeric, categorical, rows, sampled)


def feature_lists(rows: pa.Table, schema: FeatureSchema) -> tuple[pa.Array, pa.Array]:
    """Return the columns that `schema` names as two list columns, numeric and categorical; NaN becomes null."""
    count = rows.num_rows
    numbers = [rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in schema.numeric]
    flat = np.column_stack(numbers).reshape(-1) if numbers else np.empty(0)
    numeric = pa.array(flat, pa.float64(), mask=np.isnan(flat))
    texts = [rows[name].cast(pa.string()).combine_chunks() for name in schema.categorical]
    order = np.arange(len(texts) * count).reshape(len(texts), count).T.reshape(-1)
    joined = pa.chunked_array(texts, pa.string()).combine_chunks()
    return _lists(numeric, len(numbers), count), _lists(joined.take(pa.array(order, pa.int64())), len(texts), count)


def _lists(values: pa.Array, width: int, rows: int) -> pa.Array:
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width, pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def _matrix(lists: pa.ChunkedArray, width: int) -> npt.NDArray[Any]:
    """Return a list column as an object or float array of shape (rows, width); lists of other lengths are missing."""
    column = lists.combine_chunks()
    lengths = column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
    fits = lengths == width
    flat: npt.NDArray[Any] = column.filter(pa.array(fits)).flatten().to_numpy(zero_copy_only=False)
    values = flat.reshape(int(fits.sum()), width)
    if fits.all():
        return values
    missing = np.full((len(column), width), None if values.dtype == object else np.nan, dtype=values.dtype)
    missing[fits] = values
    return missing
