"""Figures and their variances -> 95 % intervals that hold the truth about as often as they say."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import special

from seamark.core.performance import PerformanceMetric

Z_95 = 1.959963984540054
FloatArray = npt.NDArray[np.float64]


def wilson(successes: float, trials: float) -> PerformanceMetric:
    """Return a share with Wilson's interval (1927, Journal of the American Statistical Association 22, 209).

    >>> wilson(9, 10).value, round(wilson(9, 10).low, 3), round(wilson(9, 10).high, 3)
    (0.9, 0.596, 0.982)
    """
    share, z2 = float(successes / trials), Z_95**2
    trials = float(trials)
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return PerformanceMetric(share, max(middle - half, 0.0), min(middle + half, 1.0))


def share(value: float, variance: float, rows: float) -> PerformanceMetric:
    """Return a figure between 0 and 1 with Wilson's interval on as many rows as its variance is worth.

    The effective sample size is value (1 - value) / variance (Kish, Survey Sampling, 1965; with Wilson's interval: Dean
    and Pagano, 2015, Journal of Survey Statistics and Methodology 3, 484): it cannot leave [0, 1], and where everything
    is right, and the variance 0, the interval still is that of so many `rows`.
    """
    value = min(max(value, 0.0), 1.0)
    spread = value * (1 - value)
    effective = spread / variance if variance > 0 and spread > 0 else rows
    found = wilson(value * effective, effective)
    return PerformanceMetric(value, min(found.low, value), max(found.high, value))


def mean(values: FloatArray, *, positive: bool = False) -> PerformanceMetric:
    """Return the mean with Student's interval, on the scale of logarithms where all that is averaged is `positive`.

    On that scale the interval of a skewed loss is not too short on the side of the large losses (delta method).
    """
    count, value = len(values), float(values.mean())
    if count < 2:
        return PerformanceMetric(value, value, value)
    error = float(values.std(ddof=1)) / sqrt(count)
    return around(value, error**2, degrees=count - 1, positive=positive)


def around(value: float, variance: float, *, degrees: float, positive: bool = False) -> PerformanceMetric:
    """Return a figure with Student's interval of its variance; `positive` as in mean()."""
    half = student(degrees) * sqrt(max(variance, 0.0))
    if positive and value > 0:
        factor = float(np.exp(min(half / value, 50.0)))
        return PerformanceMetric(value, value / factor, value * factor)
    return PerformanceMetric(value, max(value - half, 0.0) if positive else value - half, value + half)


@cache
def student(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t.

    >>> round(student(9), 3)
    2.262
    """
    return float(special.stdtrit(degrees, 0.975))


def median(values: FloatArray) -> PerformanceMetric:
    """Return the median between order statistics: distribution-free (Conover, Practical Nonparametric Statistics)."""
    ordered = np.sort(values)
    count = len(ordered)
    below = int(special.bdtrik(0.025, count, 0.5)) if count > 5 else 0  # ranks by the binomial of a half
    return PerformanceMetric(float(np.median(ordered)), float(ordered[below]), float(ordered[count - 1 - below]))
