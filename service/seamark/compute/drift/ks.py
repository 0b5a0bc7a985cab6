"""Kolmogorov-Smirnov: the greatest gap between two empirical distribution functions, exact on sorted values."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_bins
from seamark.compute.profiles import Numbers, count_levels

_ATOMS_MAX = 256  # columns with at most so many distinct values are split value by value


def score(reference: Numbers, current: Numbers) -> float:
    """Return D = max |F_reference - F_current|, between 0 and 1; 0 where a sample is empty.

    Between two of the reference's marks the gap can be no larger than from the one function at the left mark to the
    other at the right. So only the stretches that may hold a larger gap than any mark are looked at value by value: of
    a million rows against a million a few per cent, and the figure is exact.
    """
    if not reference.rows or not current.rows:
        return 0.0
    sides = (_Steps(reference, reference.marks), _Steps(current, reference.marks))
    best = _widest(sides[0].at, sides[1].at)
    worth = np.flatnonzero(np.maximum(sides[0].highest - sides[1].lowest, sides[1].highest - sides[0].lowest) > best)
    inside = np.concatenate([side.values(worth) for side in sides])
    return max(best, _widest(*(side.counts_at(inside)[1] / side.rows for side in (reference, current))))


def null(reference: Numbers, current: Numbers, rng: np.random.Generator) -> NullDistribution:
    """Return D's distribution when nothing moved.

    Continuous columns: Kolmogorov's finite-sample law at the effective size nm / (n + m), as in scipy's
    `ks_2samp(method="asymp")` and so in Evidently above 10,000 rows (G. Simard and P. L'Ecuyer, J. Stat. Softw. 39,
    2011). That law overstates p where values repeat, so columns of few distinct values are split anew instead. Between
    lies a column of many distinct values and one heavy one (zeros, say): there the law stays, on the cautious side.
    """
    n, m = reference.rows, current.rows
    many = reference.has_levels_over(_ATOMS_MAX) or current.has_levels_over(_ATOMS_MAX)
    counts = None if many else count_levels(reference, current)
    if counts is None or len(counts[0]) > _ATOMS_MAX:
        from scipy.stats import kstwo

        effective = max(1, round(n * m / (n + m)))
        return NullDistribution(
            p_value=lambda d: float(kstwo.sf(d, effective)), score_at=lambda p: _score_at(p, effective)
        )
    before, after = counts

    def draw(cells: int) -> FloatArray:
        drawn = split_bins(before, after, rng, cells)
        gaps = drawn.reference.cumsum(axis=1) / n - drawn.current.cumsum(axis=1) / m
        greatest: FloatArray = np.abs(gaps).max(axis=1)
        return greatest

    return drawn_null(draw, power=2.0)


@lru_cache(maxsize=1024)
def _score_at(p: float, effective: int) -> float:
    """Invert the law; it takes most of a millisecond, and columns without nulls of one window ask the same."""
    from scipy.stats import kstwo

    return float(kstwo.isf(p, effective))


class _Steps:
    """A column's distribution function at some marks, and in the stretches before, between and after them."""

    def __init__(self, column: Numbers, marks: FloatArray) -> None:
        below, upto = column.counts_at(marks)
        self._ordered = column.ordered
        self._starts, self._ends = np.append(0, upto), np.append(below, column.rows)
        self.at: FloatArray = upto / column.rows
        self.lowest: FloatArray = self._starts / column.rows
        self.highest: FloatArray = self._ends / column.rows

    def values(self, stretches: IntArray) -> FloatArray:
        """Return the values within these stretches, the marks not among them."""
        starts = self._starts[stretches]
        lengths = self._ends[stretches] - starts
        before = np.cumsum(lengths) - lengths
        taken: FloatArray = self._ordered[np.arange(lengths.sum()) + np.repeat(starts - before, lengths)]
        return taken


def _widest(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max(initial=0.0))


METHOD = DriftMethod(
    name="ks",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.05,  # the gap that a shift of an eighth of a standard deviation opens between two normal samples
    source="scipy.stats.ks_2samp, which Evidently 0.7.23 ks calls (and reports only the p-value of)",
)
