"""Arrivals per step -> quantiles of the arrivals a horizon ahead.

Each forecast is made again for every step of the history, as it would have been made then, and the empirical quantiles
of what it missed by are added to the one made now (Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
3rd ed., 5.5; split conformal prediction with the last errors for calibration): whatever a forecast is worth, its
quantiles cover what they say as long as traffic goes on as it did.

* Trend, for steps of seconds: the mean of the last LEVEL_S and, where it rose over the last TREND_S by more than
  chance, a rise that goes on. A fall is not carried on: nobody gives up replicas because of one, and the forecast that
  leaves falls out misses by less upwards. Errors are in requests per second, not in shares of the level: in a burst
  out of nothing, shares seen in the quiet before it would ask for many times what has ever come.
* Season: where stored history shows that these hours have a shape (compute/season), arrivals are divided by it, the
  trend is foreseen for what is left, and the shape at the target is put back.
* Persistence, for longer steps: what will be is what is now. Seasonal naive: with two whole days of such steps, the
  same time of the day before, where that has been the better guess so far.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil, floor, sqrt

import numpy as np
import numpy.typing as npt

from seamark.compute.season import DAY_S, RATE_MOST, Season, season
from seamark.core.advice import ArrivalHistory, Forecast

FloatArray = npt.NDArray[np.float64]

POINTS_MIN = 12  # changes over the horizon that must have been seen
SMOOTHED_STEPS = 3  # the present level is the mean of so many steps
LEVEL_S = 90.0
TREND_S = 150.0
TREND_STEPS_MIN = 6  # a trend through fewer is noise
DOUBTED = 1.5  # standard errors of a rise
RISE_MOST = 3.0  # times the level: no trend is carried on beyond
EARLY_S = 300.0  # a season's rise is met so much before its time, as predictive scaling of cloud providers does
BEYOND = 1.1  # of the highest load that ever came, or of a rise that is carried on: more was never seen
STEP_MOST_S = 60.0  # fine steps, whose season is in stored history


def forecast(
    arrivals_rps: FloatArray, step_s: float, horizon_s: float, at: datetime, history: ArrivalHistory | None = None
) -> Forecast:
    """Return quantiles of the arrival rate at `at` + `horizon_s`.

    `arrivals_rps` holds one rate (requests per second) per step of `step_s` seconds, oldest first, ending at `at`.
    `history` is what came on the days before, in coarser steps. With fewer than POINTS_MIN changes over the horizon,
    or a step that is no rate (not finite, negative), the state is `too_few_points` and there are no quantiles.
    """
    steps = max(ceil(horizon_s / step_s), 1)
    target = at + timedelta(seconds=horizon_s)
    rates = np.asarray(arrivals_rps, dtype=np.float64)
    if len(rates) < POINTS_MIN + steps or not ((rates >= 0) & (rates <= RATE_MOST)).all():
        return Forecast(target, horizon_s, "too_few_points", "none")
    found, highest = None, max(float(rates.max()), _highest(history))
    if step_s <= STEP_MOST_S:
        found = season(history, at, len(rates) * step_s, horizon_s + EARLY_S)
    scale, rise, method = 1.0, 1.0, ""
    if found is not None:
        shape, scale, rise = _scales(found, len(rates), step_s, horizon_s)
        rates, method = rates / shape, f"_and_season_of_{found.kind}"
    trend = max(round(TREND_S / step_s), 1)
    if trend >= TREND_STEPS_MIN and len(rates) >= POINTS_MIN + steps + trend:
        level, changes, kind = _trend(rates, steps, trend, max(round(LEVEL_S / step_s), 1))
    else:
        level, changes, kind = _persistence(rates, steps)
    a_day = round(DAY_S / step_s)
    if found is None and steps <= a_day and len(rates) >= 2 * a_day + steps:
        seasonal = _seasonal(rates, steps, a_day)
        if np.abs(seasonal[1]).mean() < np.abs(changes).mean():
            level, changes, kind = *seasonal, "seasonal_naive"
    p10, p50, p90, p99 = (max((level + change) * scale, 0.0) for change in _quantiles(changes))
    most_rps = BEYOND * max(highest, p50)
    return Forecast(target, horizon_s, "ok", kind + method, p10, p50, p90, p99, most_rps, rise)


def _highest(history: ArrivalHistory | None) -> float:
    known = history.rates[np.isfinite(history.rates)] if history is not None else np.zeros(0)
    return float(known.max(initial=0.0))


def _scales(found: Season, count: int, step_s: float, horizon_s: float) -> tuple[FloatArray, float, float]:
    """Return (the shape at each step so far, at the target, and its largest until EARLY_S later by that at the target).

    The largest is looked for from now on: a fall that is foreseen is not carried on.
    """
    so_far = (np.arange(count) - count + 0.5) * step_s
    later = np.arange(0.0, horizon_s + EARLY_S + 1.0, 30.0)
    shape = found.at(np.concatenate((so_far, later, [horizon_s])))
    target = float(shape[-1])
    return shape[:count], target, max(float(shape[count:].max()) / target, 1.0)


def _quantiles(changes: FloatArray) -> tuple[float, float, float, float]:
    """Return the 10, 50, 90 and 99 % quantiles of errors, linear between them.

    Of few errors the next one is beyond the largest more often than of many: the outer quantiles move out by
    (n + 1) / n (split conformal prediction), at most to the largest error.
    """
    ordered = np.sort(changes)
    count = len(ordered)
    more = (count + 1) / count

    def at(share: float) -> float:
        place = min(max(share, 0.0), 1.0) * (count - 1)
        low = floor(place)
        high = min(low + 1, count - 1)
        return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))

    return at(1 - 0.9 * more), at(0.5), at(0.9 * more), at(0.99 * more)


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
    foreseen = np.clip(levels + lead * np.maximum(slopes, 0.0), 0.0, RISE_MOST * levels)
    return float(foreseen[-1]), rates[trend - 1 + steps :] - foreseen[:-steps], "trend"


def _persistence(rates: FloatArray, steps: int) -> tuple[float, FloatArray, str]:
    """The present level, and how far single steps lay from the level `steps` before."""
    window = np.ones(SMOOTHED_STEPS) / SMOOTHED_STEPS
    levels = np.convolve(rates, window, mode="valid")  # levels[i] ends with step i + SMOOTHED_STEPS - 1
    later = rates[SMOOTHED_STEPS - 1 + steps :]
    return float(levels[-1]), later - levels[: len(later)], "persistence"


def _seasonal(rates: FloatArray, steps: int, season: int) -> tuple[float, FloatArray]:
    """What was a season before the target, and how far off that was so far."""
    return float(rates[len(rates) - 1 + steps - season]), rates[season:] - rates[:-season]
