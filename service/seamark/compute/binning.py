"""Two samples become two rows of counts over one set of bins, exactly as Evidently 0.7.23 bins them.

Numeric columns with more than 20 distinct values in the reference: Sturges' bins over both samples together, so that
edges move with every window; all others: one bin per value. Source: Evidently's `get_binned_data`
(evidently/legacy/calculations/stattests/utils.py) and NumPy's `histogram_bin_edges(..., bins="sturges")`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.profiles import Levels, Numbers, count_levels, scaled

LEVELS_MAX = 20  # numeric columns with so few distinct values are counted value by value
_EMPTY_SHARE = 1e-4  # what an empty bin is given, so that a logarithm exists


def is_binned(reference: Numbers | Levels) -> bool:
    """Whether a column is counted in bins rather than value by value."""
    return isinstance(reference, Numbers) and reference.has_levels_over(LEVELS_MAX)


def bin_counts(reference: Numbers | Levels, current: Numbers | Levels) -> tuple[IntArray, IntArray]:
    """Return the counts of both samples over their common bins or levels; neither sample may be empty."""
    if not (isinstance(reference, Numbers) and isinstance(current, Numbers) and is_binned(reference)):
        return count_levels(reference, current)
    return histograms(reference, current, reference.rows + current.rows)


def histograms(reference: Numbers, current: Numbers, values: int) -> tuple[IntArray, IntArray]:
    """Return the counts of both samples over as many of Sturges' bins as `values` values get."""
    (before, after), _ = scaled(reference, current)
    low, high = min(before[0], after[0]), max(before[-1], after[-1])
    edges = sturges_edges(float(low), float(high), values)
    return _histogram(before, edges), _histogram(after, edges)


def sturges_bins(rows: int) -> int:
    """Return Sturges' number of bins, ceil(log2(rows) + 1)."""
    return int(np.ceil(np.log2(max(rows, 1)) + 1))


def sturges_edges(low: float, high: float, rows: int) -> FloatArray:
    """Return the bin edges from `low` to `high` for `rows` values in all; a single value gets a bin of width one."""
    if low == high:
        low, high, bins = low - 0.5, high + 0.5, 1
    else:
        # NumPy divides the range by a width instead; the quotient can round past a whole number of bins.
        width = (high - low) / (np.log2(rows) + 1.0)
        bins = int(np.ceil((high - low) / width)) if width > 0 else sturges_bins(rows)
    return np.linspace(low, high, bins + 1, dtype=np.float64)


def fill_empty(shares: FloatArray, there: npt.NDArray[np.bool_]) -> FloatArray:
    """Return shares (one sample per row) with empty bins filled: 1e-4, or a millionth of a smallest share below that.

    `there` marks the bins that count; the smallest share is sought among them.
    """
    smallest = np.where((shares > 0) & there, shares, np.inf).min(axis=-1, keepdims=True)
    fill = np.where(smallest <= _EMPTY_SHARE, smallest / 10**6, _EMPTY_SHARE)
    return np.where(shares == 0, fill, shares)


def _histogram(ordered: FloatArray, edges: FloatArray) -> IntArray:
    below = np.searchsorted(ordered, edges[:-1], side="left")
    upto = np.searchsorted(ordered, edges[-1:], side="right")
    return np.diff(np.concatenate([below, upto])).astype(np.int64)
