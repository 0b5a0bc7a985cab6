"""Predicted and true quantities -> RMSE, MAE, median absolute error, bias and R2."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from seamark.compute import intervals
from seamark.core.performance import PerformanceMetric

FloatArray = npt.NDArray[np.float64]

_HUGE = 1e300


def measured(predicted: FloatArray, true: FloatArray) -> dict[str, PerformanceMetric]:
    """Return the errors of a regression, in the label's unit but R2; bias is the mean of prediction less label.

    Only rows with two finite numbers count. There is no percentage error: it has no meaning around 0.
    """
    known = np.isfinite(predicted) & np.isfinite(true)
    # Halves, and shares of the largest: neither a difference nor a square of the largest floats overflows.
    halves, truth = predicted[known] / 2 - true[known] / 2, true[known] / 2
    if not len(halves):
        return {}
    unit = min(float(np.abs(halves).max()) or 1.0, _HUGE)
    errors = np.clip(halves, -_HUGE, _HUGE) / unit
    squares = intervals.mean(errors**2, positive=True)
    found = {
        "rmse": PerformanceMetric(sqrt(squares.value), sqrt(squares.low), sqrt(squares.high)),
        "mae": intervals.mean(np.abs(errors), positive=True),
        "median_absolute_error": intervals.median(np.abs(errors)),
        "bias": intervals.mean(errors),
    }
    scaled = {name: _scaled(metric, 2 * unit) for name, metric in found.items()}
    explained = _explained(errors, truth / unit)
    return {**scaled, "r2": explained} if explained is not None else scaled


def _explained(errors: FloatArray, truth: FloatArray) -> PerformanceMetric | None:
    """R2 with the interval of its influence function (delta method); None where the labels do not vary."""
    with np.errstate(over="ignore", invalid="ignore"):
        around_mean = (truth - truth.mean()) ** 2
        spread = float(around_mean.mean())
        if not np.isfinite(spread) or spread <= 0 or np.ptp(truth) == 0 or len(truth) < 2:
            return None
        left = float((errors**2).mean()) / spread  # 1 - R2
        influence = (errors**2 - left * around_mean) / spread
        variance = float(influence.var(ddof=1)) / len(truth)
    if not np.isfinite(left) or not np.isfinite(variance):
        return None
    # 1 - R2 is a ratio of sums of squares: its interval is one of factors.
    found = intervals.around(left, variance, degrees=len(truth) - 1, positive=True)
    return PerformanceMetric(1 - left, 1 - found.high, 1 - found.low)


def _scaled(metric: PerformanceMetric, unit: float) -> PerformanceMetric:
    return PerformanceMetric(metric.value * unit, metric.low * unit, metric.high * unit)
