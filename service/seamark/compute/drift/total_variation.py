"""Total variation distance: the share of rows that would have to change their level for two samples to be alike."""

from __future__ import annotations

import numpy as np

from seamark.compute.binning import bin_counts
from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_levels
from seamark.compute.profiles import Levels, Numbers


def score(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Return sum |r - c| / 2 over levels, of numbers over PSI's bins, 0 to 1; 0 where a sample is empty."""
    if not reference.rows or not current.rows:
        return 0.0
    before, after = bin_counts(reference, current)
    return float(_distance(before / before.sum(), after / after.sum(), 1.0))


def null(reference: Numbers | Levels, current: Numbers | Levels, rng: np.random.Generator) -> NullDistribution:
    """Return the distance's distribution when nothing moved."""
    before, after = bin_counts(reference, current)

    def draw(cells: int) -> FloatArray:
        drawn = split_levels(before, after, rng, cells)
        return _distance(drawn.reference / before.sum(), drawn.current / after.sum(), drawn.weight)

    return drawn_null(draw, power=2.0)


def _distance(reference: FloatArray, current: FloatArray, weight: FloatArray | float) -> FloatArray:
    distance: FloatArray = (np.abs(reference - current) * weight).sum(axis=-1) / 2
    return distance


METHOD = DriftMethod(
    name="total_variation",
    kinds=frozenset({"numeric", "categorical"}),
    score=score,
    null=null,
    small=0.1,  # a tenth of the rows
    source="Evidently 0.7.23 TVD, which takes texts only and reports a p-value of 1,000 permutations",
)
