"""Feature lists as they lie in the lake, to named columns and back; whole columns at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import FeatureSchema
from seamark.store.vectors import dimensions_of, split_numbers, vector_numbers

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class FeatureColumns:
    """Named feature columns, each of `rows` values: numbers with NaN, text with None where a row has no value.

    `sampled` says that the rows are a part of more. Vectors are matrices of rows x dimension, NaN where a row has none,
    or one of another dimension than most.
    """

    numeric: Mapping[str, FloatArray]
    categorical: Mapping[str, TextArray]
    rows: int
    sampled: bool = False
    vectors: Mapping[str, FloatArray] = field(default_factory=dict)


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
    dimensions = dimensions_of({schema_id: len(place) for schema_id, place in places.items()}, schemas)
    vectors = {name: np.full((rows, dimension), np.nan) for name, dimension in dimensions.items()}
    start = 0
    for schema_id, place in places.items():
        part = found.take(pa.array(place)) if len(known) > 1 or rows < len(ids) else found
        schema, end = schemas[schema_id], start + len(place)
        numbers = _matrix(part["numeric"], schema.numbers).astype(np.float64, copy=False)
        texts = _matrix(part["categorical"], len(schema.categorical))
        for index, name in enumerate(schema.numeric):
            numeric.setdefault(name, np.full(rows, np.nan))[start:end] = numbers[:, index]
        for index, name in enumerate(schema.categorical):
            categorical.setdefault(name, np.full(rows, None, dtype=object))[start:end] = texts[:, index]
        for name, matrix in split_numbers(numbers, schema).items():
            if matrix.shape[1] == dimensions[name]:
                vectors[name][start:end] = matrix
        start = end
    for name in numeric.keys() & categorical.keys():
        # Null throughout, a feature lies under numbers until rows tell its type; and a new reference may change it.
        numbers, texts = (
            np.isfinite(numeric[name]).sum(),
            pa.array(categorical[name], pa.string()).is_valid().true_count,
        )
        del (numeric if numbers < texts else categorical)[name]
    for name in vectors.keys() & {*numeric, *categorical}:
        # Null throughout, a vector lies under numbers; and another version may have made something else of the name.
        known = [
            (int((~np.isnan(vectors[name][:, 0])).sum()), vectors),
            (int(np.isfinite(numeric[name]).sum()) if name in numeric else -1, numeric),
            (sum(text is not None for text in categorical[name]) if name in categorical else -1, categorical),
        ]
        kept = max(known, key=lambda pair: pair[0])[1]
        for side in (vectors, numeric, categorical):
            if side is not kept:
                side.pop(name, None)
    return FeatureColumns(numeric, categorical, rows, sampled, vectors)


def categorical_list(characters_max: int | None) -> str:
    """Return the SQL of the texts of a row, each cut after so many characters."""
    if characters_max is None:
        return "categorical"
    return f"[left(text, {int(characters_max)}) FOR text IN categorical] AS categorical"


def feature_lists(rows: pa.Table, schema: FeatureSchema) -> tuple[pa.Array, pa.Array]:
    """Return the columns that `schema` names as two list columns, numeric and categorical; NaN becomes null.

    ArrowException where a column is no such thing.
    """
    count = rows.num_rows
    numbers = [rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in schema.numeric]
    numbers += vector_numbers(rows, schema)
    flat = np.column_stack(numbers).reshape(-1) if numbers else np.empty(0)
    numeric = pa.array(flat, pa.float64(), mask=np.isnan(flat))
    texts = [rows[name].cast(pa.string()).combine_chunks() for name in schema.categorical]
    order = np.arange(len(texts) * count).reshape(len(texts), count).T.reshape(-1)
    joined = pa.chunked_array(texts, pa.string()).combine_chunks()
    return _lists(numeric, schema.numbers, count), _lists(joined.take(pa.array(order, pa.int64())), len(texts), count)


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
