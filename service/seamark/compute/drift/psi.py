"""Population stability index: the symmetric Kullback-Leibler divergence of two binned samples."""

from __future__ import annotations

import numpy as np

from seamark.compute.binning import bin_counts, fill_empty
from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_levels
from seamark.compute.profiles import Levels, Numbers


def score(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Return the PSI, sum (r - c) ln(r / c) over Evidently's bins; 0 where a sample is empty."""
    if not reference.rows or not current.rows:
        return 0.0
    before, after = bin_counts(reference, current)
    return max(0.0, float(_psi(before / before.sum(), after / after.sum(), np.ones(len(before)))))


def null(reference: Numbers | Levels, current: Numbers | Levels, rng: np.random.Generator) -> NullDistribution:
    """Return PSI's distribution when nothing moved, filled bins included."""
    before, after = bin_counts(reference, current)

    def draw(cells: int) -> FloatArray:
        drawn = split_levels(before, after, rng, cells)
        return _psi(drawn.reference / before.sum(), drawn.current / after.sum(), drawn.weight)

    return drawn_null(draw)


def _psi(reference: FloatArray, current: FloatArray, weight: FloatArray) -> FloatArray:
    """Return sums over the last axis. A cell of no weight holds a row in name only: it must not set the filling."""
    there = weight > 0
    before, after = fill_empty(reference, there), fill_empty(current, there)
    total: FloatArray = ((before - after) * np.log(before / after) * weight).sum(axis=-1)
    return total


METHOD = DriftMethod(
    name="psi",
    kinds=frozenset({"numeric", "categorical"}),
    score=score,
    null=null,
    small=0.1,  # credit scoring's own rule: below 0.1 a population counts as stable
    source="Evidently 0.7.23 psi; N. Siddiqi, Credit Risk Scorecards, 2006",
)
