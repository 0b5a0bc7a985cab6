"""Arrivals of weeks -> the trend of their daily peaks, and when it crosses a line.

A day's peak is the largest of its steps' means. Peaks are held against each other by the median of all pairwise slopes
(Theil-Sen), so a day of an outage or of a campaign does not bend the trend; where two weeks and a day or more are known
only the same weekdays are (Hirsch, Slack and Smith 1982: the seasonal Kendall slope), so that a weekend is no decline.
Its interval is by ranks of those slopes (Sen 1968; Gilbert, Statistical Methods for Environmental Pollution Monitoring,
16.4, 17.3). Days are taken for independent: where they are not, the interval is too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, floor, isfinite, sqrt
from statistics import NormalDist

import numpy as np

from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import FloatArray
from seamark.core.headroom import Crossing, Growth

DAY_S = 86_400.0
DAYS_MIN = 7
DAY_KNOWN = 0.8  # of a day's steps must be known: its peak may be among the others
WEEK = 7
TOLD_AHEAD_DAYS = 365.0  # five weeks of history tell nothing beyond
_Z = NormalDist().inv_cdf(0.975)


def growth(history: ArrivalHistory, at: datetime, lines: Sequence[tuple[str, int, float]]) -> Growth:
    """Return the trend of the daily peaks, and when it crosses each of `lines`: (name, replicas, requests per second).

    Days are of 24 h, counted back from the end of the history. Fewer than DAYS_MIN of which DAY_KNOWN is known are
    `too_little_history`.
    """
    back, peaks = daily_peaks(history)
    if len(peaks) < DAYS_MIN:
        return Growth("too_little_history", len(peaks), DAYS_MIN)
    slopes, variance, season = _slopes(back, peaks)
    slope = float(np.median(slopes))
    low, high = _interval(slopes, variance)
    ends = (low, high) if low is not None and high is not None else None
    crossings = tuple(
        _crossing(name, replicas, rps, (back, peaks), slope, ends, at)
        for name, replicas, rps in lines
        if isfinite(rps) and rps > 0
    )
    state = "ok" if ends else "uncertain"
    level = _busiest(back, peaks, slope)
    return Growth(state, len(peaks), DAYS_MIN, season, level, slope, low, high, crossings)


def daily_peaks(history: ArrivalHistory) -> tuple[FloatArray, FloatArray]:
    """Return (days before the end of the history at which a day's middle lies, negative; peaks of the known days)."""
    rates = np.asarray(history.rates, dtype=np.float64)
    rates = np.where(np.isfinite(rates) & (rates >= 0), rates, np.nan)
    if not history.step_s > 0 or not len(rates):
        return np.empty(0), np.empty(0)
    per_day = max(round(DAY_S / history.step_s), 1)
    days = len(rates) // per_day
    whole = rates[len(rates) - days * per_day :].reshape(days, per_day)
    known = np.isfinite(whole).mean(axis=1) >= DAY_KNOWN
    back = np.arange(days) - days + 0.5
    return back[known], np.nanmax(whole[known], axis=1) if known.any() else np.empty(0)


def _slopes(back: FloatArray, peaks: FloatArray) -> tuple[FloatArray, float, int]:
    """Return (pairwise slopes, variance of Kendall's score, days of the season they are taken over).

    Same weekdays alone are taken where their pairs are enough for an interval: the seven of 14 days are not.
    """
    first, second = np.triu_indices(len(peaks), 1)
    apart = back[second] - back[first]
    slopes = (peaks[second] - peaks[first]) / apart
    weekly = np.mod(np.round(apart), WEEK) == 0
    sizes = np.unique(np.mod(np.floor(back), WEEK), return_counts=True)[1]
    variance = sum(_score_variance(int(size)) for size in sizes)
    if _ranks(int(weekly.sum()), variance) is None:
        return slopes, _score_variance(len(peaks)), 1
    return slopes[weekly], variance, WEEK


def _score_variance(count: int) -> float:
    return count * (count - 1) * (2 * count + 5) / 18


def _interval(slopes: FloatArray, variance: float) -> tuple[float | None, float | None]:
    """The slopes at the ends; None where the pairs are too few to have such ranks."""
    ranks = _ranks(len(slopes), variance)
    if ranks is None:
        return None, None
    ordered = np.sort(slopes)
    return float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1])


def _ranks(count: int, variance: float) -> tuple[int, int] | None:
    """The ranks (N - C) / 2 and (N + C) / 2 + 1 of N slopes; None where there are none such."""
    half = _Z * sqrt(variance)
    lower, upper = floor((count - half) / 2), ceil((count + half) / 2) + 1
    return (lower, upper) if lower >= 1 and upper <= count else None


def _busiest(back: FloatArray, peaks: FloatArray, slope: float) -> float:
    """What the peak of a week's busiest day is by that slope at the end of the history: by weekday a median."""
    now, weekday = peaks - slope * back, np.mod(np.floor(back), WEEK)
    return max(float(max(np.median(now[weekday == day]) for day in np.unique(weekday))), 0.0)


def _crossing(
    name: str,
    replicas: int,
    rps: float,
    days: tuple[FloatArray, FloatArray],
    slope: float,
    ends: tuple[float, float] | None,
    at: datetime,
) -> Crossing:
    if _busiest(*days, slope) >= rps:
        return Crossing(name, replicas, rps, "crossed")
    when = _when(days, slope, rps, at)
    earliest = _when(days, ends[1], rps, at) if ends else None
    latest = _when(days, ends[0], rps, at) if ends else None
    state = "ahead" if when or earliest else "not_at_this_growth"
    return Crossing(name, replicas, rps, state, when, earliest, latest)


def _when(days: tuple[FloatArray, FloatArray], slope: float, rps: float, at: datetime) -> datetime | None:
    """When the line is reached by this slope; None: never, or too far off to be told."""
    if slope <= 0:
        return None
    ahead = max((rps - _busiest(*days, slope)) / slope, 0.0)
    return at + timedelta(days=ahead) if ahead <= TOLD_AHEAD_DAYS else None
