"""A column of lists of numbers, as Arrow or Python has them, becomes a list<float64> column whose lists are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

VECTORS = pa.list_(pa.float64())


class Ragged(Exception):
    """The lists of a column differ in length, or one holds a value that is null."""


def is_vectors(kind: pa.DataType) -> bool:
    """Whether an Arrow column holds lists of numbers."""
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def as_vectors(column: pa.Array) -> pa.Array:
    """Return a column of lists of numbers as list<float64>: each number the nearest float."""
    return column if column.type == VECTORS else column.cast(VECTORS, safe=False)


def vectors_of(values: Sequence[list[float] | None]) -> pa.Array:
    """Return Python's lists of floats as list<float64>."""
    return pa.array(values, VECTORS)


def dimension_of(column: pa.Array) -> int:
    """Return how long the lists of a list<float64> column are, 0 without any; Ragged where they are not alike."""
    known = column.drop_null()
    if not len(known):
        return 0
    lengths = known.value_lengths().to_numpy()
    if (lengths != lengths[0]).any() or known.flatten().null_count:
        raise Ragged
    return int(lengths[0])


def as_matrix(column: pa.Array, dimension: int) -> npt.NDArray[np.float64]:
    """Return a column whose lists have `dimension` finite numbers as a matrix, a row of NaN for null."""
    matrix = np.full((len(column), dimension), np.nan)
    known = column.is_valid().to_numpy(zero_copy_only=False)
    matrix[known] = column.drop_null().flatten().to_numpy().reshape(int(known.sum()), dimension)
    return matrix


def odd_vectors(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which lists of a list<float64> column hold a value that is null or no finite number."""
    numbers = column.flatten()
    wrong = ~np.isfinite(numbers.to_numpy(zero_copy_only=False))
    odd: npt.NDArray[Any] = np.zeros(len(column), bool)
    if wrong.any():
        owners = np.repeat(np.arange(len(column)), column.value_lengths().fill_null(0).to_numpy())
        odd[owners[wrong]] = True
    return odd
