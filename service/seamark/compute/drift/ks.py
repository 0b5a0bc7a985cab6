"""Kolmogorov-Smirnov: the greatest gap between two empirical distribution functions, exact on sorted values."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwo

from seamark.compute.calibrate import fit_null
from seamark.compute.columns import finite
from seamark.compute.drift.method import Column, DriftMethod, NullDistribution
from seamark.compute.resampling import draws_for

_ATOMS_MAX = 256  # columns with at most so many distinct values are resampled value by value
_DRAWS_MIN = 500


def score(reference: Column, current: Column) -> float:
    """Return D = max |F_reference - F_current|, between 0 and 1; 0 where a sample is empty."""
    before, after = np.sort(finite(reference)), np.sort(finite(current))
    if not before.size or not after.size:
        return 0.0
    both = np.concatenate([before, after])
    gap = np.searchsorted(before, both, side="right") / before.size
    gap -= np.searchsorted(after, both, side="right") / after.size
    return float(np.abs(gap).max())


def null(reference: Column, rows: int, rng: np.random.Generator) -> NullDistribution:
    """Return D's distribution when nothing moved.

    Continuous columns: Kolmogorov's finite-sample law at the effective size nm / (n + m), as in scipy's
    `ks_2samp(method="asymp")` and so in Evidently above 10,000 rows (G. Simard and P. L'Ecuyer, J. Stat. Softw. 39,
    2011). That law overstates p where values repeat, so columns of few distinct values are resampled instead; between
    lies a column with many distinct values and one heavy one (zeros, say), where the closed form stays, cautious.
    """
    values = finite(reference)
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= _ATOMS_MAX:
        return _resampled(counts, rows, rng)
    effective = max(1, round(len(values) * rows / (len(values) + rows)))
    return NullDistribution(
        p_value=lambda d: float(kstwo.sf(d, effective)), score_at=lambda p: float(kstwo.isf(p, effective))
    )


def _resampled(counts: Column, rows: int, rng: np.random.Generator) -> NullDistribution:
    """Both samples drawn from the reference's values; one row's worth is left for values it has not seen."""
    reference_rows = int(counts.sum())
    shares = np.append(counts, 1.0) / (reference_rows + 1)
    draws = draws_for(len(shares), least=_DRAWS_MIN)
    before = rng.multinomial(reference_rows, shares, size=draws).cumsum(axis=1) / reference_rows
    after = rng.multinomial(rows, shares, size=draws).cumsum(axis=1) / rows
    fitted = fit_null(np.abs(before - after).max(axis=1), power=2.0)
    return NullDistribution(fitted.p_value, fitted.score_at)


METHOD = DriftMethod(
    name="ks",
    kinds=frozenset({"numeric"}),
    score=score,
    null=null,
    small=0.05,  # the gap that a shift of an eighth of a standard deviation opens between two normal samples
    source="scipy.stats.ks_2samp, which Evidently 0.7.23 ks calls (and reports only the p-value of)",
)
