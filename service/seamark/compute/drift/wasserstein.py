"""Normed Wasserstein distance: how far mass must move on average, in standard deviations of the reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_bins
from seamark.compute.profiles import Numbers, scaled

_NORM_MIN = 0.001  # Evidently's floor, in the column's own unit
_SCORE_MAX = 1e300  # a constant column against the largest floats
_DRAWN_MAX = 1e150  # its square is still a number
_QUANTILES = 64
_CELLS = 60_000  # some 550 splits: large groups cost more to split than small ones


def score(reference: Numbers, current: Numbers) -> float:
    """Return the area between both distribution functions over max(std of reference, 0.001); 0 where one is empty."""
    if not reference.rows or not current.rows:
        return 0.0
    both, theirs, exponent = _merged(reference, current)
    before = np.cumsum(theirs[:-1])
    gap = before / reference.rows - (np.arange(1, len(both)) - before) / current.rows
    spread = reference.spread if exponent == 0 else float(np.std(np.ldexp(reference.ordered, -exponent)))
    return min(float(np.abs(gap) @ np.diff(both)) / max(spread, _norm_min(exponent)), _SCORE_MAX)


def null(reference: Numbers, current: Numbers, rng: np.random.Generator) -> NullDistribution:
    """Return the distance's distribution when nothing moved.

    Pooled values are grouped by rank, one by one at both ends where a heavy tail's distance comes from, and groups are
    split: the cost is that of some hundred groups whatever the sizes. Each split is normed by its own reference.
    """
    values, theirs, exponent = _merged(reference, current)
    starts = _groups(len(values))
    ours, before = (np.add.reduceat(side.astype(np.int64), starts) for side in (~theirs, theirs))
    sizes = np.diff(np.append(starts, len(values)))
    middle = float(values[len(values) // 2])  # sums of squares lose less about a middle value
    means = np.add.reduceat(values - middle, starts) / sizes
    squares = np.add.reduceat((values - middle) ** 2, starts) / sizes

    def draw(cells: int) -> FloatArray:
        drawn = split_bins(before, ours, rng, cells)
        share = drawn.reference / reference.rows
        gap = share.cumsum(axis=1) - drawn.current.cumsum(axis=1) / current.rows
        norm = np.sqrt(np.maximum(share @ squares - (share @ means) ** 2, 0.0))
        distance = np.abs(gap[:, :-1]) @ np.diff(means)
        with np.errstate(over="ignore"):
            return np.minimum(distance / np.maximum(norm, _norm_min(exponent)), _DRAWN_MAX)

    return drawn_null(draw, power=2.0, cells=_CELLS)


def _merged(reference: Numbers, current: Numbers) -> tuple[FloatArray, npt.NDArray[np.bool_], int]:
    """Return all values ascending, which of them are the reference's, and the exponent that scaling left."""
    parts, exponent = scaled(reference, current)
    both = np.concatenate(parts)
    order = np.argsort(both, kind="stable")  # which merges two ordered runs
    return both[order], order < reference.rows, exponent


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
