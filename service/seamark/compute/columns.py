"""Values as they arrive become floats, with NaN for what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def is_numeric(column: npt.NDArray[Any]) -> bool:
    """Whether a column holds numbers (floats, integers or booleans) rather than texts."""
    return column.dtype.kind in "fiub"


def as_floats(column: npt.NDArray[Any]) -> FloatArray:
    """Return a column of numbers as float64; None and what is no number become NaN."""
    if not is_numeric(column):
        return np.array([_number(value) for value in column.tolist()], dtype=np.float64)
    return column.astype(np.float64, copy=False)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def is_null(value: Any) -> bool:
    """Whether an object of a column of texts stands for no value: None or NaN."""
    return value is None or (isinstance(value, float) and value != value)
