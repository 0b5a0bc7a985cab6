"""Kolmogorov-Smirnov: the greatest gap between two empirical distribution functions, exact on sorted values."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwo

from seamark.compute.calibrate import fit_null
from seamark.compute.columns import count_levels, finite
from seamark.compute.drift.method import Column, DriftMethod, NullDistribution
from seamark.compute.permutation import split_bins

_ATOMS_MAX = 256  # columns with at most so many distinct values are split value by value


def score(reference: Column, current: Column) -> float:
    """Return D = max |F_reference - F_current|, between 0 and 1; 0 where a sample is empty."""
    before, after = np.sort(finite(reference)), np.sort(finite(current))
    if not before.size or not after.size:
        return 0.0
    both = np.concatenate([before, after])
    gap = np.searchsorted(before, both, side="right") / before.size
    gap -= np.searchsorted(after, both, side="right") / after.size
    return float(np.abs(gap).max())


def null(reference: Column, current: Column, rng: np.random.Generator) -> NullDistribution:
    """Return D's distribution when nothing moved.

    Continuous columns: Kolmogorov's finite-sample law at the effective size nm / (n + m), as in scipy's
    `ks_2samp(method="asymp")` and so in Evidently above 10,000 rows (G. Simard and P. L'Ecuyer, J. Stat. Softw. 39,
    2011). That law overstates p where values repeat, so columns of few distinct values are split anew instead. Between
    lies a column of many distinct values and one heavy one (zeros, say): there the law stays, on the cautious side.
    """
    before, after = finite(reference), finite(current)
    counts = count_levels(before, after)
    if len(counts[0]) > _ATOMS_MAX:
        effective = max(1, round(len(before) * len(after) / (len(before) + len(after))))
        return NullDistribution(
            p_value=lambda d: float(kstwo.sf(d, effective)), score_at=lambda p: float(kstwo.isf(p, effective))
        )
    drawn = split_bins(*counts, rng)
    gaps = drawn.reference.cumsum(axis=1) / len(before) - drawn.current.cumsum(axis=1) / len(after)
    fitted = fit_null(np.abs(gaps).max(axis=1), power=2.0)
    return NullDistribution(fitted.p_value, fitted.score_at)


METHOD = DriftMethod(
    name="ks",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.05,  # the gap that a shift of an eighth of a standard deviation opens between two normal samples
    source="scipy.stats.ks_2samp, which Evidently 0.7.23 ks calls (and reports only the p-value of)",
)
