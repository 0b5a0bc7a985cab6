"""Counts become shares with intervals, and the chance of a count where two samples are of one population.

Every chance holds the reference's own sampling error: both samples together are one pool, and the window is any part of
it (a permutation test in closed form, or a bound of one). What is bounded is told too large, never too small.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Interval = tuple[float, float]

Z_95 = 1.959963984540054
_THETA_MAX = 60.0


def wilson(count: int, rows: int) -> Interval:
    """Return Wilson's 95 % interval of a share (E. Wilson, J. Am. Statist. Assoc. 22, 1927); `rows` is above 0.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    share, z2 = count / rows, Z_95**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z_95 * sqrt(share * (1 - share) / rows + z2 / (4 * rows**2)) / (1 + z2 / rows)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def newcombe(count: int, rows: int, count_before: int, rows_before: int) -> Interval:
    """Return the 95 % interval of a difference of two shares: R. Newcombe, Statist. Med. 17, 1998, method 10.

    His example, 56 of 70 against 48 of 80:

    >>> [round(end, 4) for end in newcombe(56, 70, 48, 80)]
    [0.0524, 0.3339]
    """
    now, before = count / rows, count_before / rows_before
    (low, high), (low_before, high_before) = wilson(count, rows), wilson(count_before, rows_before)
    difference = now - before
    return (
        difference - sqrt((now - low) ** 2 + (high_before - before) ** 2),
        difference + sqrt((high - now) ** 2 + (before - low_before) ** 2),
    )


def chance_of_count(count: int, rows: int, count_before: int, rows_before: int) -> float:
    """Return the chance of at least `count` of `rows` in the window: Fisher's exact test, one-sided."""
    from scipy.stats import hypergeom

    total = rows + rows_before
    return float(hypergeom.sf(count - 1, total, count + count_before, rows))


def chance_outside(count: int, rows: int, rows_before: int) -> float:
    """Return the chance that at least `count` of `rows` values lie outside the range of `rows_before` others.

    The reference's values part the line in rows_before + 1 gaps, among which the window's fall like balls of Bose and
    Einstein; those outside are in the two outer ones: beta-binomial with 2 and rows_before - 1 (exceedances: E. Gumbel
    and H. von Schelling, Ann. Math. Statist. 21, 1950). Exact without ties; ties make it a bound.
    """
    from scipy.stats import betabinom

    if rows_before < 2:
        return 1.0
    return float(betabinom.sf(count - 1, rows, 2, rows_before - 1))


def expected_outside(rows_before: int) -> float:
    """Return the share of a window that lies outside the range of so many values where nothing changed."""
    return 2 / (rows_before + 1)


def chance_constant(rows: int, rows_before: int, counts: IntArray) -> float:
    """Return the chance that all rows of a window have one value, from how often each value is in the pool."""
    enough = counts[counts >= rows]
    if not len(enough):
        return 0.0
    return min(1.0, float(np.exp(_log_ways(enough, rows) - _log_ways(np.array([rows + rows_before]), rows)).sum()))


def chance_of_new(count: int, rows: int, before: IntArray, after: IntArray) -> tuple[float, float]:
    """Return (chance, expected share) of at least `count` rows whose level the reference does not have.

    `before` and `after` count the levels of both samples, aligned. A level of t rows is new where all of them fell to
    the window.
    """
    pooled = before + after
    total = int(pooled.sum())
    sizes, levels = np.unique(pooled, return_counts=True)
    alone = np.zeros(len(sizes))
    fits = sizes <= rows
    alone[fits] = np.exp(_log_ways(np.array([rows]), sizes[fits]) - _log_ways(np.array([total]), sizes[fits]))
    expected = float((sizes * levels * alone).sum())
    return _chernoff(count, sizes.astype(np.float64), levels, alone), expected / rows


def chance_of_repeats(repeats: int, rows: int, before: IntArray, after: IntArray) -> tuple[float, float, float]:
    """Return (chance, expected share, its standard error) of at least so many rows that repeat another of the window.

    `before` and `after` count the different rows of both samples, aligned. The different rows of a window are those of
    the pool of which one at least fell to it; the standard error is told too large rather than too small.
    """
    pooled = before + after
    total = int(pooled.sum())
    sizes, kinds = np.unique(pooled, return_counts=True)
    absent = np.zeros(len(sizes))
    fits = sizes <= total - rows
    absent[fits] = np.exp(_log_ways(np.array([total - rows]), sizes[fits]) - _log_ways(np.array([total]), sizes[fits]))
    # Repeats are rows less those different ones: as many more repeats as more of these are absent.
    expected = rows - float((kinds * (1 - absent)).sum())
    missing = repeats - rows + int(kinds.sum())
    spread = sqrt(float((kinds * absent * (1 - absent)).sum()))
    return _chernoff(missing, np.ones(len(sizes)), kinds, absent), expected / rows, spread / rows


def _chernoff(count: int, sizes: FloatArray, numbers: IntArray, chances: FloatArray) -> float:
    """Return Chernoff's bound of P(S >= count), S the sum of sizes of what comes true, each by its own chance.

    What is drawn without replacement is negatively associated (K. Joag-Dev and F. Proschan, Ann. Statist. 11, 1983), so
    the bound for independent ones holds.
    """
    there = (chances > 0) & (numbers > 0)
    sizes, numbers, chances = sizes[there], numbers[there], chances[there]
    if count <= float((sizes * numbers * chances).sum()):
        return 1.0
    if count > float((sizes * numbers).sum()):
        return 0.0
    with np.errstate(divide="ignore"):
        true, false = np.log(chances), np.log1p(-chances)

    def exponent(theta: float) -> float:
        return float((numbers * np.logaddexp(false, true + theta * sizes)).sum()) - theta * count

    found = minimize_scalar(exponent, bounds=(0.0, _THETA_MAX), method="bounded")
    return min(1.0, exp(min(float(found.fun), 0.0)))


def _log_ways(of: IntArray, taken: IntArray | int) -> FloatArray:
    """Return log of the binomial coefficient."""
    ways: FloatArray = gammaln(of + 1.0) - gammaln(np.asarray(taken) + 1.0) - gammaln(of - np.asarray(taken) + 1.0)
    return ways
