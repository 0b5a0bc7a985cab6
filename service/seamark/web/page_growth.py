"""The trend of a model's daily peaks -> a sentence, and when each line will be crossed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from seamark.core.headroom import Crossing, Growth
from seamark.web.page_views import Chip
from seamark.web.page_words import known, number, plural, rate, span


@dataclass(frozen=True)
class GrowthView:
    """The trend in a sentence, and a row for each line: which, replicas, requests/s, chip, when, interval."""

    sentence: str
    chip: Chip
    rows: tuple[tuple[str, str, str, Chip, str | None, str | None], ...]


def growth_view(growth: Growth, at: datetime) -> GrowthView:
    """Return the trend in words."""
    if growth.state == "too_little_history":
        told = (
            f"{plural(growth.days, 'day')} of load {'is' if growth.days == 1 else 'are'} known; a trend needs"
            f" {growth.days_needed}. Nothing is told of when the line will be crossed."
        )
        return GrowthView(told, Chip("quiet", "too little history"), ())
    compared = "same weekdays held against each other" if growth.season_days == 7 else "all days alike"
    told = f"{_trend_words(growth)}: {plural(growth.days, 'day')}, {compared}."
    rows = tuple(_crossing_row(one, at) for one in growth.crossings)
    tones = {row[3].tone for row in rows}
    if "bad" in tones:
        chip = Chip("bad", "crossed")
    elif "warn" in tones:
        chip = Chip("warn", "ahead")
    else:
        chip = Chip("good", "not at this growth") if rows else Chip("quiet", "no line to cross")
    return GrowthView(told, chip, rows)


def _trend_words(growth: Growth) -> str:
    slope = known(growth.rps_per_day)
    if slope is None:
        return "The trend of the daily peaks is not known"
    moves = f"{'grows' if slope >= 0 else 'shrinks'} by {number(abs(slope))} requests/s a day"
    if growth.low is not None and growth.high is not None and growth.low <= 0 <= growth.high:
        moves = f"does not clearly grow or shrink: {number(slope)} requests/s a day"
    low, high = number(growth.low), number(growth.high)
    interval = f"95 %: {low} to {high}" if low and high else "too few days for an interval"
    peak = rate(growth.peak_rps) or "an unknown number of"
    return f"The busiest day of a week peaks at {peak} requests/s and {moves} ({interval})"


def _crossing_row(one: Crossing, at: datetime) -> tuple[str, str, str, Chip, str | None, str | None]:
    names = {"current": "What runs now", "max": "The maximum"}
    when = interval = None
    if one.state == "crossed":
        chip, when = Chip("bad", "crossed"), "it is over it already"
    elif one.state == "ahead":
        when = _day(one.at, at)
        chip = Chip("warn", "ahead") if when else Chip("quiet", "at the fastest growth only")
        interval = _interval(one, at)
    else:
        chip = Chip("good", "not at this growth")
    return names.get(one.line, one.line), f"{one.replicas:,}", rate(one.rps) or "unknown", chip, when, interval


def _interval(one: Crossing, at: datetime) -> str | None:
    if one.earliest is None:
        return None
    first = "now" if one.earliest <= at else f"{one.earliest:%Y-%m-%d}"
    if one.latest is None:
        return f"{first} to never, or in over a year"
    return f"{first} to {one.latest:%Y-%m-%d}"


def _day(instant: datetime | None, at: datetime) -> str | None:
    if instant is None:
        return None
    if instant <= at:
        return "now"
    return f"{instant:%Y-%m-%d} (in {span((instant - at).total_seconds())})"
