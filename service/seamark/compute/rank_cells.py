"""Two sorted samples become counts over cells of their pooled ranks: fine at both ends, a repeated value for itself.

The cells depend on the pooled rows alone and not on which sample a row came from, so that a permutation of the pooled
rows leaves them where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamark.compute.columns import FloatArray, IntArray

_EVEN = 40
_GROWTH = 1.5
_REPEATED_MAX = 100
_REPEATED_MIN = 5  # times, in both samples together, for a value to be a cell of its own


@dataclass(frozen=True)
class RankCells:
    """Counts of both samples by cell, in the order of the values; `repeated` marks cells of one value."""

    reference: IntArray
    current: IntArray
    repeated: npt.NDArray[np.bool_]


def rank_cells(before: FloatArray, after: FloatArray) -> RankCells:
    """Return the cells of two samples, both sorted, finite and not empty."""
    values, repeated = _at_ranks(before, after, _ranks(len(before) + len(after))), _repeated(before, after)
    ends = [
        np.concatenate(
            [
                [0, len(side)],
                side.searchsorted(values, "right"),
                side.searchsorted(repeated, "left"),
                side.searchsorted(repeated, "right"),
            ]
        )
        for side in (before, after)
    ]
    pooled, first = np.unique(ends[0] + ends[1], return_index=True)
    lone = before.searchsorted(repeated, "left") + after.searchsorted(repeated, "left")
    return RankCells(np.diff(ends[0][first]), np.diff(ends[1][first]), np.isin(pooled[:-1], lone))


def _ranks(size: int) -> IntArray:
    """Return the ranks at which cells end: evenly, and at both ends 1, 2, 3, 5, 7, ... rows from there."""
    steps = int(np.log(max(size / _EVEN, 1)) / np.log(_GROWTH)) + 1
    growing = np.unique((_GROWTH ** np.arange(steps)).astype(np.int64))
    even = np.linspace(0, size, _EVEN, endpoint=False).astype(np.int64)[1:]
    ranks = np.unique(np.concatenate([growing, even, size - growing])) - 1
    return ranks[(ranks >= 0) & (ranks < size)]


def _at_ranks(before: FloatArray, after: FloatArray, ranks: IntArray) -> FloatArray:
    """Return the pooled values at `ranks` without merging the samples: how many come from each is bisected."""
    n, m = len(before), len(after)
    low, high = np.maximum(ranks - m, 0), np.minimum(ranks, n)
    while bool((searching := low < high).any()):
        middle = (low + high) // 2
        more = before[np.minimum(middle, n - 1)] < after[np.clip(ranks - middle - 1, 0, m - 1)]
        low = np.where(searching & more, middle + 1, low)
        high = np.where(searching & ~more, middle, high)
    theirs = np.where(low < n, before[np.minimum(low, n - 1)], np.inf)
    ours = np.where(ranks - low < m, after[np.minimum(ranks - low, m - 1)], np.inf)
    return np.minimum(theirs, ours)


def _repeated(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return the values that occur 5 times or more in both samples together, at most the 100 most frequent.

    What occurs five times in both occurs three times in one of them.
    """
    found = np.union1d(_thrice(before), _thrice(after))
    times = _times(before, found) + _times(after, found)
    often = np.argsort(-times, kind="stable")[:_REPEATED_MAX]
    return np.sort(found[often[times[often] >= _REPEATED_MIN]])


def _times(ordered: FloatArray, values: FloatArray) -> IntArray:
    return ordered.searchsorted(values, "right") - ordered.searchsorted(values, "left")


def _thrice(ordered: FloatArray) -> FloatArray:
    if len(ordered) < 3:
        return ordered[:0]
    return np.unique(ordered[2:][ordered[2:] == ordered[:-2]])
