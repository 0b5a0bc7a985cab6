"""Columns as they arrive, with nulls, become columns that scores can count: finite floats or plain strings."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Above this, sums and spreads of a column could overflow; a column is scaled down by a power of two before.
_HUGE = 1e150


def is_numeric(column: npt.NDArray[Any]) -> bool:
    """Whether a column holds numbers (floats, integers or booleans) rather than texts."""
    return column.dtype.kind in "fiub"


def present(column: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    """Return the column without its nulls: NaN and infinities of a numeric one, None and NaN of a categorical one."""
    return finite(column) if kind == "numeric" else texts(column)


def finite(column: npt.NDArray[Any]) -> FloatArray:
    """Return the finite values of a column of numbers as float64; None and what is no number count as nulls."""
    if not is_numeric(column):
        column = np.array([_number(value) for value in column.tolist()], dtype=np.float64)
    values = column.astype(np.float64, copy=False)
    keep = np.isfinite(values)
    return values if bool(keep.all()) else values[keep]


def texts(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values of a categorical column as an object array of str, nulls (None, NaN) left out."""
    values = column.tolist()
    kept = [value if isinstance(value, str) else str(value) for value in values if not _is_null(value)]
    result = np.empty(len(kept), dtype=object)
    result[:] = kept
    return result


def scaled(*columns: FloatArray) -> tuple[list[FloatArray], int]:
    """Return the columns over 2 ** exponent, and the exponent: 0 but where a value's square would overflow."""
    largest = max((float(np.abs(column).max()) for column in columns if column.size), default=0.0)
    if largest < _HUGE:
        return list(columns), 0
    exponent = int(np.frexp(largest)[1])
    return [np.ldexp(column, -exponent) for column in columns], exponent


def count_levels(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return how often each level occurs in the reference and in the window, aligned; levels of either are counted."""
    if is_numeric(reference):
        reference, current = finite(reference), finite(current)
        levels, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
        size = len(levels)
        return (
            np.bincount(codes[: reference.size], minlength=size).astype(np.int64),
            np.bincount(codes[reference.size :], minlength=size).astype(np.int64),
        )
    before, after = Counter(reference.tolist()), Counter(current.tolist())
    keys = list(before) + [level for level in after if level not in before]
    return (
        np.array([before[key] for key in keys], dtype=np.int64),
        np.array([after[key] for key in keys], dtype=np.int64),
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
