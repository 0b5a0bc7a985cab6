"""Ticks over many models -> reads of the newest part for all of them, put behind what is in memory.

A read of its own takes a model some milliseconds however little is in it. So all that are advised, and those that a
page asked for lately, are read together, in parts of PART_S: at each tick the newest part, and one of the older ones by
turns, newest first, so that each step is read again at least every `window / PART_S` ticks: spans that come later than
PART_S are missing until then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import numpy as np

from seamark.core.backtest import FloatArray
from seamark.core.windows import Window
from seamark.store import spans, traffic
from seamark.store.lake import Lake

PART_S = 600.0
PAUSE = timedelta(seconds=60)  # after a longer one nobody read again what came for the steps just before it

# Returns the names of the models that are to be read together.
Models = Callable[[], Collection[str]]


@dataclass
class _Kept:
    """Requests per second by model in the steps up to `end`, and which older part is read next, counted from 0."""

    end: datetime
    rates: dict[str, FloatArray]
    turn: int


class LiveSteps:
    """One per service; the threads that advise take turns."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        self._lock = Lock()

    def arrivals(self, lake: Lake, model: str, models: Models, window: Window, step_s: float) -> FloatArray:
        """Return what spans.arrivals() does, of windows of one length whose ends are whole steps apart.

        Shape (steps,), a copy. A window long after the last one is read whole, with those of `models`; one that ends
        before it, of a round that still goes on while a page was asked for, by itself.
        """
        with self._lock:
            kept = self._kept
            if kept is None or abs(window.end - kept.end) > PAUSE:
                kept = self._kept = _whole(lake, {*models(), model}, window, step_s)
            elif window.end < kept.end:
                return spans.arrivals(lake, model, window, step_s)
            elif window.end > kept.end:
                kept = self._kept = _carried_on(lake, models(), kept, window, step_s)
            if model not in kept.rates:  # nobody had asked for it
                kept.rates[model] = spans.arrivals(lake, model, window, step_s)
            return kept.rates[model].copy()

    def forget(self) -> None:
        """Have all of it read anew."""
        with self._lock:
            self._kept = None


def _whole(lake: Lake, names: Collection[str], window: Window, step_s: float) -> _Kept:
    count, part = round(window.span_s / step_s), round(PART_S / step_s)
    rates = {name: np.zeros(count) for name in names}
    for first in range(0, count, part):
        _read(lake, rates, window, step_s, first, min(first + part, count))
    return _Kept(window.end, rates, 0)


def _carried_on(lake: Lake, names: Collection[str], kept: _Kept, window: Window, step_s: float) -> _Kept:
    count, part = round(window.span_s / step_s), round(PART_S / step_s)
    gone = round((window.end - kept.end).total_seconds() / step_s)
    rates = {
        name: np.concatenate((kept.rates[name][gone:], np.zeros(gone)))[-count:] for name in names if name in kept.rates
    }
    newest = max(count - part, 0)
    _read(lake, rates, window, step_s, newest, count)
    older = -(-newest // part)  # parts
    if older:
        # From the newest on: the window moves on meanwhile, and so they overlap. The other way there would be gaps.
        last = newest - kept.turn * part
        _read(lake, rates, window, step_s, max(last - part, 0), last)
    return _Kept(window.end, rates, (kept.turn + 1) % older if older else 0)


def _read(lake: Lake, rates: dict[str, FloatArray], window: Window, step_s: float, first: int, last: int) -> None:
    """Read the steps [first, last) of the window for all models of `rates`."""
    for one in rates.values():
        one[first:last] = 0.0
    start = window.start + timedelta(seconds=first * step_s)
    part = Window(start, start + timedelta(seconds=(last - first) * step_s))
    for model, step, requests in traffic.counts(lake, part, step_s, rates):
        rates[model][first + step] = requests / step_s
