"""Hellinger distance: how little the square roots of two binned samples' shares overlap."""

from __future__ import annotations

import numpy as np

from seamark.compute.binning import histograms
from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray, IntArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_levels
from seamark.compute.profiles import Levels, Numbers, count_levels


def score(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Return sqrt(1 - sum sqrt(r c)) over levels or bins, 0 to 1; 0 where a sample is empty.

    It is summed as sqrt(sum (sqrt r - sqrt c)^2 / 2), which is the same and loses nothing where samples are alike.
    """
    if not reference.rows or not current.rows:
        return 0.0
    before, after = _counts(reference, current)
    return float(_distance(before / before.sum(), after / after.sum(), 1.0))


def null(reference: Numbers | Levels, current: Numbers | Levels, rng: np.random.Generator) -> NullDistribution:
    """Return the distance's distribution when nothing moved."""
    before, after = _counts(reference, current)

    def draw(cells: int) -> FloatArray:
        drawn = split_levels(before, after, rng, cells)
        return _distance(drawn.reference / before.sum(), drawn.current / after.sum(), drawn.weight)

    return drawn_null(draw, power=2.0)


def _counts(reference: Numbers | Levels, current: Numbers | Levels) -> tuple[IntArray, IntArray]:
    """Return counts over levels; of numbers over Sturges' bins for as many values as differ, however few: Evidently's.

    A split leaves the values as they are, and with them the bins.
    """
    if isinstance(reference, Levels) or isinstance(current, Levels):
        return count_levels(reference, current)
    both = np.sort(np.concatenate([reference.levels[0], current.levels[0]]), kind="stable")
    return histograms(reference, current, 1 + int(np.count_nonzero(both[1:] != both[:-1])))


def _distance(reference: FloatArray, current: FloatArray, weight: FloatArray | float) -> FloatArray:
    distance: FloatArray = np.sqrt((weight * (np.sqrt(reference) - np.sqrt(current)) ** 2).sum(axis=-1) / 2)
    return distance


METHOD = DriftMethod(
    name="hellinger",
    kinds=frozenset({"numeric", "categorical"}),
    score=score,
    null=null,
    small=0.1,  # Evidently's fixed threshold for this distance
    source="Evidently 0.7.23 hellinger; E. Hellinger, J. reine angew. Math. 136, 1909",
)
