"""The numbers of vectors, which lie behind the single numbers of a row, become one matrix per vector and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.records import FeatureSchema

FloatArray = npt.NDArray[np.float64]

READ_NUMBERS_MAX = 20_000_000  # 160 MB: of all rows that are read at once, where there are vectors
REPLAY_NUMBERS_MAX = 2_000_000  # as Python's own numbers


def rows_that_fit(schemas: Iterable[FeatureSchema], rows_max: int, numbers_max: int = READ_NUMBERS_MAX) -> int:
    """Return how many rows may be read at once: `rows_max`, or fewer where these schemas' vectors are long."""
    dimensions: dict[str, int] = {}
    for schema in schemas:
        for name, dimension in schema.vectors:
            dimensions[name] = max(dimension, dimensions.get(name, 0))
    return min(rows_max, numbers_max // sum(dimensions.values())) if dimensions else rows_max


def dimensions_of(rows: Mapping[int, int], schemas: Mapping[int, FeatureSchema]) -> dict[str, int]:
    """Return each vector's dimension: the one that most rows have (rows by schema id), the smaller one on a tie."""
    counts: dict[tuple[str, int], int] = {}
    for schema_id, count in rows.items():
        for vector in schemas[schema_id].vectors:
            counts[vector] = counts.get(vector, 0) + count
    ordered = sorted(counts, key=lambda vector: (counts[vector], -vector[1]))
    return dict(ordered)  # of a name that is there twice the last counts


def split_numbers(numbers: FloatArray, schema: FeatureSchema) -> dict[str, FloatArray]:
    """Return the vectors in a matrix of rows x all numbers of a schema, by name; a vector that is not known is NaN."""
    found: dict[str, FloatArray] = {}
    start = len(schema.numeric)
    for name, dimension in schema.vectors:
        found[name] = numbers[:, start : start + dimension]
        start += dimension
    return found


def vector_numbers(rows: pa.Table, schema: FeatureSchema) -> list[FloatArray]:
    """Return the columns of lists that `schema` names as vectors, each as a matrix; ArrowInvalid where one is none."""
    found = []
    for name, dimension in schema.vectors:
        lists = rows[name].combine_chunks().cast(pa.list_(pa.float64()))
        known = lists.is_valid().to_numpy(zero_copy_only=False)
        numbers = lists.drop_null().flatten().to_numpy(zero_copy_only=False)
        if len(numbers) != int(known.sum()) * dimension:
            raise pa.ArrowInvalid(f"{name} is no column of lists of {dimension} numbers")
        matrix = np.full((len(lists), dimension), np.nan)
        matrix[known] = numbers.reshape(-1, dimension)
        found.append(matrix)
    return found


def as_lists(matrix: FloatArray) -> pa.Array:
    """Return a matrix as a column of lists, null where a row holds a NaN."""
    unknown = np.isnan(matrix).any(axis=1)
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * np.int32(matrix.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)), mask=pa.array(unknown))


def as_python(matrix: FloatArray) -> list[list[Any] | None]:
    """Return a matrix as Python's lists, None for a row that holds a NaN."""
    known: list[list[Any] | None] = matrix.tolist()
    for place in np.flatnonzero(np.isnan(matrix).any(axis=1)).tolist():
        known[place] = None
    return known
