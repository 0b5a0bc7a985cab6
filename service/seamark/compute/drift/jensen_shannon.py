"""Jensen-Shannon distance: the root of the mean divergence of two binned samples from their mixture."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from seamark.compute.binning import bin_counts
from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_levels
from seamark.compute.profiles import Levels, Numbers


def score(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Return the distance over Evidently's bins, natural logarithm: 0 to sqrt(ln 2) = 0.83; 0 where one is empty."""
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
    middle = (reference + current) / 2
    divergence = ((rel_entr(reference, middle) + rel_entr(current, middle)) * weight).sum(axis=-1)
    distance: FloatArray = np.sqrt(np.maximum(divergence / 2, 0.0))
    return distance


METHOD = DriftMethod(
    name="jensen_shannon",
    kinds=frozenset({"numeric", "categorical"}),
    score=score,
    null=null,
    small=0.1,  # Evidently's fixed threshold for this distance
    source="Evidently 0.7.23 jensenshannon; J. Lin, IEEE Trans. Inf. Theory 37, 1991",
)
