"""Chi-square of homogeneity: how unlike the shares of levels are in two samples, told as Cohen's w."""

from __future__ import annotations

import numpy as np

from seamark.compute.calibrate import drawn_null
from seamark.compute.columns import FloatArray
from seamark.compute.drift.method import DriftMethod, NullDistribution
from seamark.compute.permutation import split_levels
from seamark.compute.profiles import Levels, count_levels

_ROWS_MIN = 5  # of a level, in both samples together


def score(reference: Levels, current: Levels) -> float:
    """Return w = sqrt(sum (r - c)^2 / pooled) over levels; 0 where a sample is empty.

    w^2 is the two-sample chi-square times (n + m) / (n m): unlike the statistic it does not grow with the window, and
    towards an endless reference it is Cohen's w. Levels of fewer than 5 pooled rows are counted together (after
    W. Cochran, Biometrics 10, 1954), so that single rows of rare levels cannot outweigh all others; a new level that
    comes 5 times stands for itself.
    """
    if not reference.rows or not current.rows:
        return 0.0
    before, after = (counts.astype(np.float64) for counts in count_levels(reference, current))
    return float(_effect(before, after, float(before.sum()), float(after.sum()), np.ones_like(before)))


def null(reference: Levels, current: Levels, rng: np.random.Generator) -> NullDistribution:
    """Return w's distribution when nothing moved.

    Evidently holds the window against the reference's shares as if they were known; here both samples are samples.
    """
    before, after = count_levels(reference, current)

    def draw(cells: int) -> FloatArray:
        drawn = split_levels(before, after, rng, cells)
        return _effect(drawn.reference, drawn.current, float(before.sum()), float(after.sum()), drawn.weight)

    return drawn_null(draw, power=2.0)


def _effect(before: FloatArray, after: FloatArray, n: float, m: float, weight: FloatArray) -> FloatArray:
    pooled = (before + after) / (n + m)
    rare = before + after < _ROWS_MIN
    common = np.where(rare, 0.0, (before / n - after / m) ** 2 / np.maximum(pooled, 1e-300))
    rare_before = (before * rare * weight).sum(axis=-1)
    rare_after = (after * rare * weight).sum(axis=-1)
    rare_pooled = np.maximum((rare_before + rare_after) / (n + m), 1e-300)
    together = (rare_before / n - rare_after / m) ** 2 / rare_pooled
    effect: FloatArray = np.sqrt((common * weight).sum(axis=-1) + together)
    return effect


METHOD = DriftMethod(
    name="chi_square",
    kinds=frozenset({"categorical"}),
    score=score,
    null=null,
    small=0.1,  # Cohen's bound of a small effect (J. Cohen, Statistical Power Analysis, 1988, ch. 7)
    source="K. Pearson, Biometrika 8, 1911 (homogeneity of two samples); Evidently 0.7.23 reports a one-sample p-value",
)
