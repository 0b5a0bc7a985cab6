"""Normed Wasserstein distance: how far mass must move on average, in standard deviations of the reference."""

from __future__ import annotations

import numpy as np

from seamark.compute.calibrate import fit_null
from seamark.compute.columns import FloatArray, IntArray, finite, scaled
from seamark.compute.drift.method import Column, DriftMethod, NullDistribution
from seamark.compute.resampling import draws_for

_NORM_MIN = 0.001  # Evidently's floor, in the column's own unit
_SCORE_MAX = 1e300  # a constant column against the largest floats
import os

POWER = float(os.environ.get("POW", "2"))
_QUANTILES = 64
_DRAWS_MIN = 500


def score(reference: Column, current: Column) -> float:
    """Return the area between both distribution functions over max(std of reference, 0.001); 0 where one is empty."""
    (before, after), exponent = scaled(finite(reference), finite(current))
    if not before.size or not after.size:
        return 0.0
    before, after = np.sort(before), np.sort(after)
    both = np.sort(np.concatenate([before, after]))
    gap = np.searchsorted(before, both[:-1], side="right") / before.size
    gap -= np.searchsorted(after, both[:-1], side="right") / after.size
    return min(float(np.abs(gap) @ np.diff(both)) / _norm(before, exponent), _SCORE_MAX)


def null(reference: Column, rows: int, rng: np.random.Generator) -> NullDistribution:
    """Return the distance's distribution when nothing moved, both samples drawn from the reference's own values.

    Values are grouped by rank, finely at both ends where a heavy tail's distance comes from, and counts of groups are
    drawn: the cost is that of 100 groups whatever the sizes, so nothing needs to be scaled from smaller samples.
    One row's worth on either side lies beyond all that the reference has seen, as far out again as the mean excess
    of its outermost values: other samples have records of their own. A column that is constant in the reference
    has no spread to judge by: there any change counts.
    """
    (column,), exponent = scaled(finite(reference))
    ordered = np.sort(column)
    starts = _groups(len(ordered))
    sizes = np.diff(np.append(starts, len(ordered)))
    values = np.add.reduceat(ordered, starts) / sizes
    steps = np.diff(
        np.concatenate([[2 * ordered[0] - _edge(ordered)], values, [2 * ordered[-1] - _edge(ordered[::-1])]])
    )
    shares = np.concatenate([[1.0], sizes, [1.0]]) / (len(ordered) + 2)
    draws = draws_for(len(shares), least=_DRAWS_MIN)
    gap = rng.multinomial(len(ordered), shares, size=draws).cumsum(axis=1) / len(ordered)
    gap -= rng.multinomial(rows, shares, size=draws).cumsum(axis=1) / rows
    fitted = fit_null(np.abs(gap[:, :-1]) @ steps / _norm(ordered, exponent), power=POWER)
    return NullDistribution(fitted.p_value, fitted.score_at)


def _edge(outwards: FloatArray) -> float:
    """The mean of the outermost values, about the square root of all, given from the outermost on."""
    return float(outwards[: max(1, int(np.sqrt(len(outwards))))].mean())


def _groups(size: int) -> IntArray:
    """Return the first rank of each group: single values at both ends, growing by half, never over 1/64 of all."""
    ends = np.unique(np.floor(1.5 ** np.arange(0, np.log(max(size, 2)) / np.log(1.5))).astype(np.int64))
    even = np.linspace(0, size, _QUANTILES, endpoint=False).astype(np.int64)
    starts = np.unique(np.concatenate([[0], ends, size - ends, even]))
    return starts[(starts >= 0) & (starts < size)].astype(np.int64)


def _norm(reference: FloatArray, exponent: int) -> float:
    """The reference's spread, at least Evidently's floor in the unit that scaling left."""
    return max(float(np.std(reference)), float(np.ldexp(_NORM_MIN, -exponent)))


METHOD = DriftMethod(
    name="wasserstein",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.1,  # a tenth of a standard deviation: Evidently's fixed threshold for this distance
    source="Evidently 0.7.23 wasserstein; scipy.stats.wasserstein_distance",
)
