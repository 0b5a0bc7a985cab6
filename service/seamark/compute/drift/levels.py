"""Levels: the largest effect that a shift of all levels, of one of them, or of the rare ones has on a column."""

from __future__ import annotations

import numpy as np

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.effects import far_squares, largest, level_squares, sum_squares
from seamark.compute.permutation import split_bins
from seamark.compute.profiles import Levels, count_levels

_CELLS = 300_000  # some 1,100 splits of a thousand uneven levels
_ROWS_MIN = 5  # of a level in both samples together; rarer ones are counted together (W. Cochran, Biometrics 10, 1954)
_LEVELS_MAX = 1_000  # the most frequent ones stand for themselves


def score(reference: Levels, current: Levels) -> float:
    """Return the largest effect, in standard deviations; 0 where a sample is empty.

    All together: Cohen's w with what chance brings taken off, which sees many levels that each move a little. The one:
    a level that is new, gone, or grown among a thousand others, whose noise would hide it in a sum. The rare: all
    levels up to some count together, as many new ones that come once each.
    """
    if not reference.rows or not current.rows:
        return 0.0
    before, after = _cells(*count_levels(reference, current))
    return float(_effects(after[None, :], before + after, int(before.sum()), int(after.sum()))[0])


def null(reference: Levels, current: Levels, rng: np.random.Generator) -> NullDistribution:
    """Return the largest effect's distribution when nothing moved."""
    before, after = _cells(*count_levels(reference, current))
    pooled, n, m = before + after, int(before.sum()), int(after.sum())

    def draw(cells: int) -> FloatArray:
        drawn = split_bins(before, after, rng, cells)
        return _effects(drawn.current.astype(np.int64), pooled, n, m)

    return drawn_null(draw, power=2.0, cells=_CELLS)


def _cells(before: IntArray, after: IntArray) -> tuple[IntArray, IntArray]:
    """Return both counts by cell, the rarest first: levels of 1, 2, 3 and 4 pooled rows are four cells, and so are all
    of one count among those beyond the most frequent thousand; each other level is a cell.
    """
    pooled = before + after
    order = np.argsort(pooled, kind="stable")
    ranks = np.arange(len(order))
    counts = pooled[order]
    alone = (counts >= _ROWS_MIN) & (ranks >= len(order) - _LEVELS_MAX)
    starts = np.flatnonzero(alone | np.concatenate([[True], counts[1:] != counts[:-1]]))
    return np.add.reduceat(before[order], starts), np.add.reduceat(after[order], starts)


def _effects(after: IntArray, pooled: IntArray, n: int, m: int) -> FloatArray:
    squares = [sum_squares(after, pooled, n, m), level_squares(after, pooled, n, m)]
    ends = _ends(pooled)
    squares.append(far_squares(after.cumsum(axis=1)[:, ends], pooled.cumsum()[ends], n, m))
    return largest(squares, np.full(3, 1 / 3), n, m)


def _ends(pooled: IntArray) -> IntArray:
    """Return the cells up to which the rare ones are counted together: their rows grow by half from one to the next."""
    steps = np.floor(np.log(pooled.cumsum()) / np.log(1.5))
    return np.flatnonzero(np.concatenate([steps[1:] != steps[:-1], [True]]))


METHOD = DriftMethod(
    name="levels",
    kinds=frozenset({"categorical"}),
    score=score,
    null=null,
    small=0.1,  # Cohen's bound of a small effect (J. Cohen, Statistical Power Analysis, 1988, ch. 7)
    source="own: the largest of K. Pearson's chi-square of homogeneity and likelihood ratios of levels, as effects",
)
