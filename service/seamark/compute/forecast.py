"""Arrivals per step -> quantiles of the arrivals a horizon ahead.

Each forecast is made again for every step of the history, as it would have been made then, and the empirical quantiles
of what it missed by are added to the one made now (Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
3rd ed., 5.5; split conformal prediction with the last errors for calibration): whatever a forecast is worth, its
quantiles cover what they say as long as traffic goes on as it did.

* Trend, for steps of seconds: the mean of the last LEVEL_S and, where it rose over the last TREND_S, a rise that goes
  on, damped. A fall is not carried on: nobody gives up replicas because of one, and the forecast that leaves falls out
  misses by less upwards. Errors are relative, since busy hours vary more than quiet ones.
* Persistence, for longer steps: what will be is what is now.
* Seasonal naive: with two whole days of history, the same time of the day before, where that has been the better guess
  so far.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from seamark.core.advice import Forecast

FloatArray = npt.NDArray[np.float64]

DAY_S = 86_400.0
POINTS_MIN = 12  # changes over the horizon that must have been seen
SMOOTHED_STEPS = 3  # the present level is the mean of so many steps
LEVEL_S = 45.0
TREND_S = 210.0
TREND_STEPS_MIN = 6  # a trend through fewer is noise
DOUBTED = 0.7  # standard errors of a rise
DAMPING = 0.7  # of a rise until the horizon
RISE_MOST = 3.0  # times the level: no trend is carried on beyond
QUIET = 0.2  # of the mean level; with stretches below it errors are not taken relative


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
    trend = max(round(TREND_S / step_s), 1)
    if trend >= TREND_STEPS_MIN and len(rates) >= POINTS_MIN + steps + trend:
        level, changes, method = _trend(rates, steps, trend, max(round(LEVEL_S / step_s), 1))
    else:
        level, changes, method = _persistence(rates, steps)
    season = round(DAY_S / step_s)
    if steps <= season and len(rates) >= 2 * season + steps:
        seasonal = _seasonal(rates, steps, season)
        if np.abs(seasonal[1]).mean() < np.abs(changes).mean():
            level, changes, method = *seasonal, "seasonal_naive"
    p10, p50, p90, p99 = (max(float(level + change), 0.0) for change in np.quantile(changes, _ranks(len(changes))))
    return Forecast(target, horizon_s, "ok", method, p10, p50, p90, p99)


def _ranks(count: int) -> tuple[float, float, float, float]:
    """Return where the 10, 50, 90 and 99 % quantiles stand in `count` errors.

    Of few errors the next one is beyond the largest more often than of many: the outer quantiles move out by
    (n + 1) / n (split conformal prediction), at most to the largest error.
    """
    more = (count + 1) / count
    return max(1 - 0.9 * more, 0.0), 0.5, min(0.9 * more, 1.0), min(0.99 * more, 1.0)


def _trend(rates: FloatArray, steps: int, trend: int, smoothed: int) -> tuple[float, FloatArray, str]:
    """The level with its rise carried on, and how far single steps lay from what was foreseen for them."""
    sums = np.concatenate(([0.0], np.cumsum(rates)))
    levels = (sums[smoothed:] - sums[:-smoothed])[trend - smoothed :] / smoothed
    places = np.arange(trend) - (trend - 1) / 2
    slopes = np.convolve(rates, (places / (places**2).sum())[::-1], mode="valid")  # by least squares
    # By chance a slope is of the size of its standard error: so much of a rise is not believed.
    noise = float(np.diff(rates).std()) / sqrt(2.0)
    slopes -= DOUBTED * noise / sqrt(float((places**2).sum()))
    lead = (smoothed - 1) / 2 + steps
    foreseen = np.clip(levels + DAMPING * lead * np.maximum(slopes, 0.0), 0.0, RISE_MOST * levels)
    later, before = rates[trend - 1 + steps :], foreseen[:-steps]
    if before.min() <= QUIET * before.mean():
        return float(foreseen[-1]), later - before, "trend"
    return float(foreseen[-1]), (later / before - 1) * foreseen[-1], "trend"


def _persistence(rates: FloatArray, steps: int) -> tuple[float, FloatArray, str]:
    """The present level, and how far single steps lay from the level `steps` before."""
    window = np.ones(SMOOTHED_STEPS) / SMOOTHED_STEPS
    levels = np.convolve(rates, window, mode="valid")  # levels[i] ends with step i + SMOOTHED_STEPS - 1
    later = rates[SMOOTHED_STEPS - 1 + steps :]
    return float(levels[-1]), later - levels[: len(later)], "persistence"


def _seasonal(rates: FloatArray, steps: int, season: int) -> tuple[float, FloatArray]:
    """What was a season before the target, and how far off that was so far."""
    return float(rates[len(rates) - 1 + steps - season]), rates[season:] - rates[:-season]
