"""A model's spans of the last days -> its arrivals in ticks, NaN where telemetry, and not traffic, was missing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Lock

import numpy as np

from seamark.compute.backtest.holes import runs
from seamark.compute.silence import EXPECTED_LEAST, HOUR_S, SILENT_S, expected
from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import TICK_S, BoolArray, FloatArray
from seamark.core.windows import Window
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import arrival_steps, spans

DAY_S = 86_400.0
LATE_S = 60.0  # spans come when they have ended and were exported
_DAYS_KEPT = 40


class HeardDays:
    """In which ticks of past days anything was heard: looked up once for all models."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._days: OrderedDict[datetime, BoolArray] = OrderedDict()

    def of(self, services: Services, day: datetime, at: datetime) -> BoolArray:
        """Return the ticks of the day that begins at `day`; shape (5760,)."""
        with self._lock:
            known = self._days.get(day)
        if known is not None:
            return known
        window = Window(day, day + timedelta(seconds=DAY_S))
        found = arrival_steps.heard(services.lake, window, TICK_S)
        if window.end <= at - timedelta(hours=1):  # nothing more will come of it
            with self._lock:
                self._days[day] = found
                while len(self._days) > _DAYS_KEPT:
                    self._days.popitem(last=False)
        return found


def own_history(services: Services, model: str, at: datetime, days: float, heard: HeardDays) -> ArrivalHistory | None:
    """Return real requests per second in ticks of 15 s from the first one of the last `days`; None: there is none.

    A silence of a minute and more is unknown, NaN, where no span of any model was heard in it and ten requests
    should have come by what came in the hour before and after. It is read a day at a time.
    """
    end = slot(at - timedelta(seconds=LATE_S), TICK_S)
    rates, told = [], []
    for window in _days(end - timedelta(seconds=round(days * DAY_S / TICK_S) * TICK_S), end):
        part = spans.arrivals(services.lake, model, window, TICK_S)
        rates.append(part)
        silent = part.any() and any((b - a) * TICK_S >= SILENT_S for a, b in runs(part == 0))
        told.append(_heard(services, window, at, heard) if silent or not part.any() else np.ones(len(part), np.bool_))
    found = np.concatenate(rates)
    came = np.flatnonzero(found)
    if len(came) == 0:
        return None
    kept = unheard_as_unknown(found, np.concatenate(told))[came[0] :]
    known = np.flatnonzero(np.isfinite(kept))
    until = int(known[-1]) + 1
    return ArrivalHistory(end - timedelta(seconds=(len(kept) - until) * TICK_S), TICK_S, kept[:until])


def unheard_as_unknown(rates: FloatArray, heard: BoolArray) -> FloatArray:
    """Return the rates with NaN in each silence in which requests should have come and nobody was heard.

    The ticks beside one that ends are heard in part, and would look like traffic that falls and rises: unknown, too.
    """
    out = rates.copy()
    for start, end in runs(~heard):
        if (end - start) * TICK_S < SILENT_S:
            continue
        if (expected(rates, start, end, TICK_S, HOUR_S) or 0.0) >= EXPECTED_LEAST:
            beside = 1 if start > 0 and end < len(rates) else 0
            out[start - beside : end + beside] = np.nan
    return out


def _days(start: datetime, end: datetime) -> Iterator[Window]:
    """Yield the window's parts, cut at midnight UTC."""
    while start < end:
        until = min(slot(start, DAY_S) + timedelta(seconds=DAY_S), end)
        yield Window(start, until)
        start = until


def _heard(services: Services, window: Window, at: datetime, heard: HeardDays) -> BoolArray:
    day = slot(window.start, DAY_S)
    first = round((window.start - day).total_seconds() / TICK_S)
    return heard.of(services, day, at)[first : first + round(window.span_s / TICK_S)]
