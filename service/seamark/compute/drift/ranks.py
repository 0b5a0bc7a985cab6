"""Ranks: the largest effect that a shift of place, spread, shape, far values or one repeated value has on a column."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.effects import excess, far_squares, largest, level_squares, split_squares
from seamark.compute.permutation import split_bins
from seamark.compute.profiles import Numbers
from seamark.compute.rank_cells import RankCells, rank_cells

_CELLS = 150_000  # some 2,400 splits
# How likely each part is to be the one, before anything is seen: most shifts that models meet are of place.
_PLACE, _SPREAD, _SHAPE, _FAR = 0.55, 0.18, 0.09, 0.18
_REPEATED_MIN = 0.15  # where any value is repeated; of the most frequent one's share where that is larger
_OUTER = 40  # rows beyond the outer fortieth at either end count as far


def score(reference: Numbers, current: Numbers) -> float:
    """Return the largest effect, in standard deviations; 0 where a sample is empty.

    Place: the difference of the means of normal scores (B. van der Waerden, Math. Ann. 126, 1953): that of the means
    in standard deviations where the column is normal, and neither tails nor units sway it. Spread: the same of
    squared normal scores (J. Klotz, Ann. Math. Statist. 33, 1962). Shape: the widest gap between the distribution
    functions. Far values: more or fewer rows among the outer fortieth, at that rank where it shows most. Repeated
    values: the one whose share moved most, as of a default that stands in for what is missing.
    """
    if not reference.rows or not current.rows:
        return 0.0
    cells = rank_cells(reference.ordered, current.ordered)
    return float(_effects(cells, cells.current[None, :])[0])


def null(reference: Numbers, current: Numbers, rng: np.random.Generator) -> NullDistribution:
    """Return the largest effect's distribution when nothing moved."""
    cells = rank_cells(reference.ordered, current.ordered)

    def draw(budget: int) -> FloatArray:
        drawn = split_bins(cells.reference, cells.current, rng, budget)
        return _effects(cells, drawn.current.astype(np.int64))

    return drawn_null(draw, power=2.0, cells=_CELLS)


def _effects(cells: RankCells, after: IntArray) -> FloatArray:
    pooled = cells.reference + cells.current
    n, m = int(cells.reference.sum()), int(cells.current.sum())
    moved = excess(after, pooled, n, m)
    squares = [(moved @ scores) ** 2 for scores in _normal_scores(pooled)]
    squares.append(split_squares(after, pooled, n, m))
    squares.append(far_squares(_beyond(after, pooled), _beyond(pooled[None, :], pooled)[0], n, m))
    weights = np.array([_PLACE, _SPREAD, _SHAPE, _FAR])
    if cells.repeated.any():
        squares.append(level_squares(after[:, cells.repeated], pooled[cells.repeated], n, m))
        repeated = max(float(pooled[cells.repeated].max()) / (n + m), _REPEATED_MIN)
        weights = np.append(weights * (1 - repeated), repeated)
    return largest(squares, weights, n, m)


def _beyond(counts: IntArray, pooled: IntArray) -> IntArray:
    """Return the counts beyond each rank of the outer fortieth: at the low end, at the high, at both; and of all."""
    low = counts.cumsum(axis=1)[:, pooled.cumsum() * _OUTER <= pooled.sum()]
    high = counts[:, ::-1].cumsum(axis=1)[:, pooled[::-1].cumsum() * _OUTER <= pooled.sum()]
    both = min(low.shape[1], high.shape[1])
    return np.hstack([low, high, low[:, :both] + high[:, :both], counts.sum(axis=1, keepdims=True)])


def _normal_scores(pooled: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return each cell's mean normal score and mean squared one, both brought to mean 0 and deviation 1."""
    share = pooled / pooled.sum()
    ends = ndtri(np.concatenate([[0.0], share.cumsum()[:-1], [1.0]]))
    height = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    slope = np.where(np.isfinite(ends), ends, 0.0) * height
    place = -np.diff(height) / share
    return _standard(place, share), _standard(-np.diff(slope) / share, share)


def _standard(values: FloatArray, share: FloatArray) -> FloatArray:
    centred = values - share @ values
    deviation = float(np.sqrt(share @ centred**2))
    return centred / deviation if deviation > 1e-9 else np.zeros_like(centred)


METHOD = DriftMethod(
    name="ranks",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.1,  # a tenth of a standard deviation, as for wasserstein, and the gap of 0.05 that is ks's bound
    source="own: the largest of van der Waerden's, Klotz's, Kolmogorov's and a likelihood ratio, each as an effect",
)
