"""Arrivals of past days -> the shape that these hours have, and how much of it comes true from day to day.

Each past day gives the arrivals of the same hours, divided by their own mean: a shape, whatever the day's level was.
The season is the mean of the shapes, of all days or of the same weekday, whichever foretells a day left out better. It
is believed as far as that came true: the share is the least-squares slope of each day's shape on the mean of the
others, from 0 to 1. Traffic without a season gets a share near 0, and is foreseen as if there were no history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import floor

import numpy as np
import numpy.typing as npt

from seamark.core.advice import ArrivalHistory

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAY_S = 86_400.0
WEEK_DAYS = 7
DAYS_MIN = 2
DAYS_MOST = 42  # what came longer ago tells nothing of today
STEP_MOST_S = 3600.0
RATE_MOST = 1e12  # requests per second; what is told to be more is no rate
SHAPE_MOST = 10.0  # times the mean: one wild day is not to make the season
SHAPE_LEAST = 0.05


@dataclass(frozen=True)
class Season:
    """The shape of the hours around an instant, in steps; `values` are 1 where they are as the mean of the hours.

    `start_s` is where the first step begins, in seconds from the instant (negative: before it).
    """

    kind: str  # day | week
    days: int  # past days it is made of
    share: float  # how much of it is believed, over 0 to 1
    start_s: float
    step_s: float
    values: FloatArray

    def at(self, seconds: FloatArray) -> FloatArray:
        """Return the shape at seconds from the instant.

        Within a step it is linear with the smaller slope of those to its neighbours, 0 where they disagree (van Leer's
        minmod limiter): a wave stays a wave, and what jumps between two steps is a jump and no ramp of ten minutes.
        """
        values = self.values
        slopes = np.zeros(len(values))
        rises = np.diff(values)
        slopes[1:-1] = np.where(
            rises[1:] * rises[:-1] > 0, np.sign(rises[1:]) * np.minimum(np.abs(rises[1:]), np.abs(rises[:-1])), 0.0
        )
        places = (seconds - self.start_s) / self.step_s
        steps = np.clip(places.astype(np.int64), 0, len(values) - 1)
        return np.asarray(values[steps] + (np.clip(places - steps, 0.0, 1.0) - 0.5) * slopes[steps])


def season(history: ArrivalHistory | None, at: datetime, back_s: float, ahead_s: float) -> Season | None:
    """Return the season from `back_s` before `at` until `ahead_s` after it; None where history does not show one.

    It needs the same hours of DAYS_MIN days, known without a gap, in steps that divide a day. Days that are not known,
    and those longer ago than DAYS_MOST, are left out.
    """
    if history is None or not 0 < history.step_s <= STEP_MOST_S or DAY_S % history.step_s:
        return None
    step_s, a_day = history.step_s, round(DAY_S / history.step_s)
    # Steps are counted from the end of history: step 0 would be the one that begins there.
    now_s = (at - history.end).total_seconds()
    first, last = floor((now_s - back_s) / step_s) - 1, floor((now_s + ahead_s) / step_s) + 1
    found = _shapes(history.rates, first, last, a_day, floor(now_s / step_s) - first)
    if found is None:
        return None
    ago, shapes = found
    kinds = {"day": np.ones(len(ago), bool), "week": ago % WEEK_DAYS == 0}
    best: tuple[float, Season] | None = None
    weekly = kinds["week"] if kinds["week"].sum() >= DAYS_MIN else kinds["day"]
    for kind, among in kinds.items():
        if among.sum() < DAYS_MIN:
            continue
        foretold = (shapes[among].sum(axis=0) - shapes * among[:, None]) / (among.sum() - among)[:, None]
        before, after = foretold[weekly] - 1, shapes[weekly] - 1
        size = float((before**2).sum())
        share = min(max(float((before * after).sum()) / size, 0.0), 1.0) if size > 0 else 0.0
        missed = float(((after - share * before) ** 2).sum())
        if share > 0 and (best is None or missed < best[0]):
            values = np.maximum(1 + share * (shapes[among].mean(axis=0) - 1), SHAPE_LEAST)
            start_s = first * step_s - now_s
            best = (missed, Season(kind, int(among.sum()), share, start_s, step_s, values))
    return None if best is None else best[1]


def _shapes(rates: FloatArray, first: int, last: int, a_day: int, so_far: int) -> tuple[IntArray, FloatArray] | None:
    """Return (how many days ago, shape of each day) of the days whose steps are all known; None where too few are."""
    count = len(rates)
    least = max(-(-(last + 1) // a_day), 1)  # the last step ends within history
    ago = np.arange(least, min((count + first) // a_day, DAYS_MOST) + 1)
    if len(ago) < DAYS_MIN:
        return None
    places = count + np.arange(first, last + 1)[None, :] - ago[:, None] * a_day
    days = rates[places]
    rated = ((days >= 0) & (days <= RATE_MOST)).all(axis=1)  # also false where a step is not known
    ago, days = ago[rated], days[rated]
    means = days[:, : max(so_far, 1)].mean(axis=1)
    known = means > 0
    if known.sum() < DAYS_MIN:
        return None
    return ago[known], np.minimum(days[known] / means[known, None], SHAPE_MOST)
