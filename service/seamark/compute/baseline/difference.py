"""A figure of several earlier runs and of the newest ones -> how they differ, beside how runs differ by themselves.

Runs of one plan are not alike: machines are shared, caches are cold or warm. What one request tells of the next is no
measure of that, so the noise is taken from the runs themselves: the differences within both groups, by Student's t. To
it comes what chance does within a run where the newest runs have fewer requests, or were restless; what runs keep of
the one before; and, as runs are far slower more often than far faster, the skew that the earlier runs show.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt

import numpy as np
from scipy.special import nctdtrinc, ndtri, stdtr, stdtrit

from seamark.compute.columns import FloatArray
from seamark.core.baseline import RUNS_MIN

FOUND = 0.9  # the share of cases in which a detectable change is found
RUNS_NEEDED_MAX = 1_000
_REACH_95 = 0.975
_KEEPS_MAX = 0.9
_FREEDOM_MIN = 4.0
_SKEW_BELOW = 0.1  # larger p-values are of no consequence
_TINY = 1e-300
_HALVINGS = 60


@dataclass(frozen=True)
class Group:
    """A figure of each run, in the order they ran (either way), on a scale on which noise adds up.

    `variances` are what chance within each run gives it.
    """

    values: FloatArray
    variances: FloatArray


@dataclass(frozen=True)
class Difference:
    """The newest runs' mean minus the baseline's, its standard error, and the noise of one run (all on the scale).

    `skew` is that of the difference as far as the runs show one; it is positive where runs are far higher at times.
    """

    value: float
    error: float
    freedom: float
    noise: float
    skew: float

    def p_above(self) -> float:
        """The chance of such a difference or a larger one where there is none."""
        return _tail(self.value / self.error, self.freedom, max(self.skew, 0.0))

    def p_below(self) -> float:
        """The chance of such a difference or a smaller one where there is none."""
        return _tail(-self.value / self.error, self.freedom, max(-self.skew, 0.0))

    def reach(self) -> float:
        """Half of the 95 % interval."""
        return float(stdtrit(self.freedom, _REACH_95)) * self.error

    def detectable(self, level: float, *, above: bool = True) -> float:
        """The difference that a test at this level finds in nine of ten cases."""
        skew = max(self.skew if above else -self.skew, 0.0)
        return shift_found(level, self.freedom, skew) * self.error


def difference(baseline: Group, newest: Group, floor: float) -> Difference:
    """Return how the groups differ; the baseline has three runs or more. `floor` is the least noise between runs.

    What lies within runs is part of what is seen between them: it is taken out of the noise and put back for each run
    as large as it was there. A run that was far off stays in: it shows that such runs come.
    """
    k, m = len(baseline.values), len(newest.values)
    inside = [baseline.values - baseline.values.mean(), newest.values - newest.values.mean()]
    seen = sum(float((part**2).sum()) for part in inside) / (k + m - 2)
    old, new = float(baseline.variances.mean()), float(newest.variances.mean())
    between = max(seen - min(old, new), floor**2)
    beyond_chance = between > floor**2  # else the runs do not differ, and their order and skew mean nothing
    keeps = _keeps(inside) if beyond_chance and m > 1 else 0.0  # a single run is no more alike to one than to another
    variance = (between * _alike(keeps, k) + old) / k + (between * _alike(keeps, m) + new) / m
    freedom = max((k + m - 2) * (1 - keeps) / (1 + keeps), _FREEDOM_MIN)
    skew = _skew(inside[0]) * (m**-2 - k**-2) / (1 / m + 1 / k) ** 1.5 if beyond_chance else 0.0
    value = float(newest.values.mean() - baseline.values.mean())
    return Difference(value, sqrt(variance), freedom, sqrt(between + new), skew)


def _keeps(inside: list[FloatArray]) -> float:
    """How much of its deviation a run keeps of the one before: lag-1 correlation less its bias, never negative.

    Marriott and Pope (Biometrika 41, 1954): with n values about their mean, r is too small by (1 + 4 r) / n.
    """
    count = sum(len(part) for part in inside)
    squares = sum(float((part**2).sum()) for part in inside)
    if squares <= 0 or count <= RUNS_MIN:
        return 0.0
    r = sum(float((part[1:] * part[:-1]).sum()) for part in inside) / squares
    return float(min(max((count * r + 1) / (count - 4), 0.0), _KEEPS_MAX))


def _alike(keeps: float, runs: int) -> float:
    """By how much the variance of the mean of so many runs in a row is larger than if they were independent."""
    lags = np.arange(1, runs)
    return 1.0 + 2.0 * float(((1 - lags / runs) * keeps**lags).sum())


def _skew(inside: FloatArray) -> float:
    """The sample's skewness; of few runs it is too small, as it should be of what is hardly known."""
    squares = float((inside**2).mean())
    return float((inside**3).mean()) / squares**1.5 if squares > 0 else 0.0


def _limit(level: float, freedom: float, skew: float) -> float:
    """The t beyond which a share `level` lies, bent by the skew (the first term of Cornish and Fisher, 1937)."""
    bend = skew / 6 * max(float(ndtri(level)) ** 2 - 1, 0.0)
    return float(-stdtrit(freedom, level)) + bend


def _tail(t: float, freedom: float, skew: float) -> float:
    """The share that lies beyond `t`: that of a symmetric law, or where it is small and there is a skew, the larger."""
    plain = float(stdtr(freedom, -t))
    if skew == 0 or plain >= _SKEW_BELOW:
        return plain
    low, high = log(max(plain, _TINY)), log(_SKEW_BELOW)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _limit(exp(middle), freedom, skew) > t else (low, middle)
    return exp(high)


def shift_found(level: float, freedom: float, skew: float = 0.0) -> float:
    """Return the shift in standard errors that a t test at this level finds in nine of ten cases.

    >>> round(shift_found(0.005, 1e6), 2)
    3.86
    """
    limit = _limit(level, freedom, skew)
    large = freedom >= 1000
    found = limit - float(stdtrit(freedom, 1 - FOUND)) if large else float(nctdtrinc(freedom, 1 - FOUND, limit))
    return found if isfinite(found) else inf


def runs_needed(noise: float, change: float, level: float) -> int | None:
    """Return how many runs on either side find a change in nine of ten cases; None: more than RUNS_NEEDED_MAX."""

    def found(runs: int) -> bool:
        return shift_found(level, 2.0 * runs - 2.0) * noise * sqrt(2.0 / runs) <= change

    low, high = 1, 2
    while not found(high):
        low, high = high, 2 * high
        if low >= RUNS_NEEDED_MAX:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high if high <= RUNS_NEEDED_MAX else None


def bounded_exp(value: float) -> float:
    """Return e to the value, which is cut so that the result stays a number."""
    return exp(min(max(value, -50.0), 50.0))
