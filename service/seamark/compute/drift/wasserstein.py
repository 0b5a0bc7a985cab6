"""Normed Wasserstein distance: how far mass must move on average, in standard deviations of the reference."""

from __future__ import annotations

import numpy as np

from seamark.compute.calibrate import fit_null
from seamark.compute.columns import IntArray, finite, scaled
from seamark.compute.drift.method import Column, DriftMethod, NullDistribution
from seamark.compute.permutation import split_bins

_NORM_MIN = 0.001  # Evidently's floor, in the column's own unit
_SCORE_MAX = 1e300  # a constant column against the largest floats
_DRAWN_MAX = 1e150  # its square is still a number
_QUANTILES = 64
_CELLS = 60_000  # some 550 splits: large groups cost more to split than small ones


def score(reference: Column, current: Column) -> float:
    """Return the area between both distribution functions over max(std of reference, 0.001); 0 where one is empty."""
    (before, after), exponent = scaled(finite(reference), finite(current))
    if not before.size or not after.size:
        return 0.0
    before, after = np.sort(before), np.sort(after)
    both = np.sort(np.concatenate([before, after]))
    gap = np.searchsorted(before, both[:-1], side="right") / before.size
    gap -= np.searchsorted(after, both[:-1], side="right") / after.size
    return min(float(np.abs(gap) @ np.diff(both)) / max(float(np.std(before)), _norm_min(exponent)), _SCORE_MAX)


def null(reference: Column, current: Column, rng: np.random.Generator) -> NullDistribution:
    """Return the distance's distribution when nothing moved.

    Pooled values are grouped by rank, one by one at both ends where a heavy tail's distance comes from, and groups are
    split: the cost is that of some hundred groups whatever the sizes. Each split is normed by its own reference.
    """
    (before, after), exponent = scaled(finite(reference), finite(current))
    both = np.concatenate([before, after])
    order = np.argsort(both, kind="stable")
    values, theirs = both[order], order < before.size
    starts = _groups(len(values))
    ours = np.add.reduceat((~theirs).astype(np.int64), starts)
    drawn = split_bins(np.add.reduceat(theirs.astype(np.int64), starts), ours, rng, _CELLS)
    sizes = np.diff(np.append(starts, len(values)))
    middle = float(values[len(values) // 2])  # sums of squares lose less about a middle value
    means = np.add.reduceat(values - middle, starts) / sizes
    squares = np.add.reduceat((values - middle) ** 2, starts) / sizes
    share = drawn.reference / before.size
    gap = share.cumsum(axis=1) - drawn.current.cumsum(axis=1) / after.size
    norm = np.sqrt(np.maximum(share @ squares - (share @ means) ** 2, 0.0))
    distance = np.abs(gap[:, :-1]) @ np.diff(means)
    with np.errstate(over="ignore"):
        normed = np.minimum(distance / np.maximum(norm, _norm_min(exponent)), _DRAWN_MAX)
    fitted = fit_null(normed, power=2.0)
    return NullDistribution(fitted.p_value, fitted.score_at)


def _groups(size: int) -> IntArray:
    """Return the first rank of each group: single values at both ends, growing by half, never over 1/64 of all."""
    ends = np.unique(np.floor(1.5 ** np.arange(0, np.log(max(size, 2)) / np.log(1.5))).astype(np.int64))
    even = np.linspace(0, size, _QUANTILES, endpoint=False).astype(np.int64)
    starts = np.unique(np.concatenate([[0], ends, size - ends, even]))
    return starts[(starts >= 0) & (starts < size)].astype(np.int64)


def _norm_min(exponent: int) -> float:
    """Evidently's floor in the unit that scaling left."""
    return float(np.ldexp(_NORM_MIN, -exponent))


METHOD = DriftMethod(
    name="wasserstein",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.1,  # a tenth of a standard deviation: Evidently's fixed threshold for this distance
    source="Evidently 0.7.23 wasserstein; scipy.stats.wasserstein_distance",
)
