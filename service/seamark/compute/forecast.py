"""Arrivals per step -> quantiles of the arrivals a horizon ahead.

Persistence: what will be is what is now, plus a change such as was seen before over the same horizon (the empirical
quantiles of the h-step changes; Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.2 and
5.5). With two whole days of history the forecast starts from the same time of the day before (seasonal naive, the
same place) where that has been the better guess so far.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

import numpy as np
import numpy.typing as npt

from seamark.core.findings import Forecast

FloatArray = npt.NDArray[np.float64]

DAY_S = 86_400.0
POINTS_MIN = 12  # changes over the horizon that must have been seen
SMOOTHED_STEPS = 3  # the present level is the mean of so many steps


def forecast(arrivals_rps: FloatArray, step_s: float, horizon_s: float, at: datetime) -> Forecast:
    """Return quantiles of the arrival rate at `at` + `horizon_s`.

    `arrivals_rps` holds one rate (requests per second) per step of `step_s` seconds, oldest first, ending at `at`.
    With fewer than POINTS_MIN changes over the horizon the state is `too_few_points` and there are no quantiles.
    """
    steps = max(ceil(horizon_s / step_s), 1)
    target = at + timedelta(seconds=horizon_s)
    rates = np.asarray(arrivals_rps, dtype=np.float64)
    if len(rates) < POINTS_MIN + steps or not np.isfinite(rates).all():
        return Forecast(target, horizon_s, "too_few_points", "none")
    level, changes, method = _persistence(rates, steps)
    season = round(DAY_S / step_s)
    if steps <= season and len(rates) >= 2 * season + steps:
        seasonal = _seasonal(rates, steps, season)
        if np.abs(seasonal[1]).mean() < np.abs(changes).mean():
            level, changes, method = *seasonal, "seasonal_naive"
    p10, p50, p90, p99 = (max(float(level + change), 0.0) for change in np.quantile(changes, (0.1, 0.5, 0.9, 0.99)))
    return Forecast(target, horizon_s, "ok", method, p10, p50, p90, p99)


def _persistence(rates: FloatArray, steps: int) -> tuple[float, FloatArray, str]:
    """The present level, and how far single steps lay from the level `steps` before."""
    window = np.ones(SMOOTHED_STEPS) / SMOOTHED_STEPS
    levels = np.convolve(rates, window, mode="valid")  # levels[i] ends with step i + SMOOTHED_STEPS - 1
    later = rates[SMOOTHED_STEPS - 1 + steps :]
    return float(levels[-1]), later - levels[: len(later)], "persistence"


def _seasonal(rates: FloatArray, steps: int, season: int) -> tuple[float, FloatArray]:
    """What was a season before the target, and how far off that was so far."""
    return float(rates[len(rates) - 1 + steps - season]), rates[season:] - rates[:-season]
