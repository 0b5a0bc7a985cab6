"""Stored arrivals of days and weeks -> quantiles of the coming hours, step by step, for people and for plans.

What is foreseen for a step is the mean of the same step of past weeks (with less than three weeks: of past days), times
how far the last hours were from theirs, as far as such a distance has lasted until then so far: a least-squares slope
for each horizon. The quantiles are those of what the same forecast, made at each step of the history, missed by (split
conformal prediction; Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.5). Misses are taken
in units of the root of what was expected, as counts vary. With less than three days of history there is no season, and
what is now is what will be.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from seamark.compute.season import RATE_MOST
from seamark.core.advice import ArrivalHistory, Forecast

FloatArray = npt.NDArray[np.float64]

DAY_S = 86_400.0
DAYS_LEAST = 3
WEEKS_LEAST = 3
SEASONS_MOST = 4  # of weeks; of days so many too
LEVEL_S = 3 * 3600.0
MISSES_LEAST = 30
MISSES_S = 14 * DAY_S  # of these, seasons of as many weeks were known as are now; older ones missed by more
RATIO_MOST = 5.0
RANKS = (0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True)
class _Seen:
    """The history, what its seasons expect of each step until the horizon's end (NaN: unknown), and the kind."""

    rates: FloatArray
    expected: FloatArray  # (steps + horizon,)
    ratios: FloatArray  # how far the last hours were from what was expected of them, at each step
    method: str


def outlook(history: ArrivalHistory, hours: float) -> tuple[Forecast, ...]:
    """Return a forecast for each step of the next `hours`, the first of them the step that begins at `history.end`.

    `history` may have gaps (NaN). A step that nothing is known for has the state `too_few_points`. A day at most is
    looked ahead.
    """
    step_s = history.step_s
    if not 0 < step_s <= DAY_S:
        return ()
    ahead = min(round(hours * 3600 / step_s), round(DAY_S / step_s))
    rates = np.asarray(history.rates, dtype=np.float64)
    rates = np.where((rates >= 0) & (rates <= RATE_MOST), rates, np.nan)
    seen = _seen(rates, step_s, ahead)
    kept = max(round(MISSES_S / step_s), MISSES_LEAST)
    return tuple(_one(seen, step, kept, history.end, step_s) for step in range(1, ahead + 1))


def _seen(rates: FloatArray, step_s: float, ahead: int) -> _Seen:
    a_day = max(round(DAY_S / step_s), 1)
    count = len(rates)
    weekly = count >= (WEEKS_LEAST * 7 + 1) * a_day
    period = 7 * a_day if weekly else a_day
    smoothed = max(round(LEVEL_S / step_s), 1)
    if count < DAYS_LEAST * a_day:
        level = _mean_of_last(rates, smoothed)
        flat = np.concatenate((np.full(1, np.nan), level))  # what is now is what will be, shifted by the ratio below
        expected = np.concatenate((flat[:count], np.full(ahead, level[-1] if count else np.nan)))
        return _Seen(rates, expected, np.full(count, 1.0), "persistence")
    same = np.full((SEASONS_MOST, count + ahead), np.nan)
    for place in range(SEASONS_MOST):
        lag = (place + 1) * period
        if lag < count:
            same[place, lag:] = rates[: count + ahead - lag]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of steps that no season knows: NaN is what they should be
        expected = np.nanmean(same, axis=0)
    both = np.isfinite(rates) & np.isfinite(expected[:count])
    came = _sum_of_last(np.where(both, rates, 0.0), smoothed)
    meant = _sum_of_last(np.where(both, expected[:count], 0.0), smoothed)
    ratios = np.where(meant > 0, np.clip(came / np.where(meant > 0, meant, 1.0), 0.0, RATIO_MOST), 1.0)
    return _Seen(rates, expected, ratios, "seasons_of_week" if weekly else "seasons_of_day")


def _one(seen: _Seen, step: int, kept: int, end: datetime, step_s: float) -> Forecast:
    """Return the forecast of the `step`-th step from the end of history."""
    target, count = end + timedelta(seconds=step * step_s), len(seen.rates)
    nothing = Forecast(target, step * step_s, "too_few_points", "none")
    if count <= step:
        return nothing
    first = max(count - step - kept, 0)
    if seen.method == "persistence":
        meant = seen.expected[first + 1 : count - step + 1]  # the level at the step from which it was foreseen
    else:
        meant = seen.expected[first + step : count]
    off, came = seen.ratios[first : count - step] - 1, seen.rates[first + step : count]
    known = np.isfinite(meant) & np.isfinite(came)
    meant, off, came = meant[known], off[known], came[known]
    expected = float(seen.expected[count + step - 1])
    if len(came) < MISSES_LEAST or not np.isfinite(expected):
        return nothing
    moved = meant * off
    size = float((moved**2).sum())
    lasts = min(max(float((moved * (came - meant)).sum()) / size, 0.0), 1.0) if size > 0 else 0.0
    foreseen = meant + lasts * moved
    floor = max(float(meant.mean()) * 0.01, 1e-12)
    misses = np.sort((came - foreseen) / np.sqrt(np.maximum(foreseen, floor)))
    now = expected * (1 + lasts * (float(seen.ratios[-1]) - 1))
    more = (len(misses) + 1) / len(misses)
    ranks = (max(1 - 0.9 * more, 0.0), 0.5, min(0.9 * more, 1.0), min(0.99 * more, 1.0))
    spread = np.sqrt(max(now, floor))
    p10, p50, p90, p99 = (max(float(now + one * spread), 0.0) for one in np.quantile(misses, ranks))
    if not np.isfinite(p99):
        return nothing
    return Forecast(target, step * step_s, "ok", seen.method, p10, p50, p90, p99)


def _sum_of_last(values: FloatArray, width: int) -> FloatArray:
    sums = np.concatenate((np.zeros(width), np.cumsum(values)))
    return np.asarray(sums[width:] - sums[:-width])


def _mean_of_last(values: FloatArray, width: int) -> FloatArray:
    known = np.isfinite(values)
    counts = _sum_of_last(known.astype(np.float64), width)
    sums = _sum_of_last(np.where(known, values, 0.0), width)
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)
