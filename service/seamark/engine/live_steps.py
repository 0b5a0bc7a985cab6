"""Ticks over all advised models -> one read of what may be new, put behind what each model has in memory.

A read of its own takes a model some milliseconds however little is in it. So from its second tick on a model is served
from one read of the last NEW_S of everybody; what is older stays as it was last read. Each model is read whole again
every REREAD_S to twice that, not all at once: spans that come more than NEW_S - PAUSE late are missing until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar
from zlib import crc32

import numpy as np

from seamark.core.backtest import FloatArray
from seamark.core.windows import Window
from seamark.store import spans, traffic
from seamark.store.lake import Lake

NEW_S = 600.0
REREAD_S = 300
PAUSE = timedelta(seconds=60)  # after a longer one nobody read again what came for the steps just before it
MODELS_MAX = 10_000

Found = TypeVar("Found")


@dataclass(frozen=True)
class _Kept:
    """The steps of a model up to `end`, and when they are to be read whole again."""

    end: datetime
    due: datetime
    steps: FloatArray


class _OfTick(Generic[Found]):
    """What was read of all models for one instant; a clock that went back reads again."""

    def __init__(self) -> None:
        self._found: tuple[datetime, Mapping[str, Found]] | None = None

    def at(self, at: datetime, read: Callable[[], Mapping[str, Found]]) -> Mapping[str, Found]:
        found = self._found
        if found is None or found[0] != at:
            found = self._found = (at, read())
        return found[1]

    def forget_after(self, at: datetime) -> None:
        if self._found is not None and self._found[0] > at:
            self._found = None


class LiveSteps:
    """One per service; the threads that advise take turns."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._asked: dict[str, datetime] = {}  # when a model's instances were counted last
        self._newest: _OfTick[FloatArray] = _OfTick()
        self._instances: _OfTick[int] = _OfTick()
        self._lock = Lock()

    def arrivals(self, lake: Lake, model: str, window: Window, step_s: float) -> FloatArray:
        """Return what spans.arrivals() does, of windows of one length whose ends are whole steps apart.

        Shape (steps,), a copy. A window that ends no later than the last, or long after it, is read whole.
        """
        with self._lock:
            self._newest.forget_after(window.end)
            kept = self._kept.get(model)
            if kept is not None and timedelta(0) < window.end - kept.end <= PAUSE and window.end < kept.due:
                due, steps = kept.due, self._carried_on(lake, model, kept, window, step_s)
            else:
                due = window.end + timedelta(seconds=REREAD_S + crc32(model.encode()) % REREAD_S)
                steps = spans.arrivals(lake, model, window, step_s)
            if len(self._kept) >= MODELS_MAX and model not in self._kept:
                self._kept.clear()
            self._kept[model] = _Kept(window.end, due, steps)
            return steps.copy()

    def instances(self, lake: Lake, model: str, window: Window) -> int | None:
        """Return what spans.instances() does; models that were asked for before are counted together."""
        with self._lock:
            self._instances.forget_after(window.end)
            last = self._asked.get(model)
            if len(self._asked) >= MODELS_MAX and model not in self._asked:
                self._asked.clear()
            self._asked[model] = window.end
            if last is None or not timedelta(0) < window.end - last <= PAUSE:
                return spans.instances(lake, model, window)
            return self._instances.at(window.end, lambda: traffic.instances(lake, window)).get(model)

    def _carried_on(self, lake: Lake, model: str, kept: _Kept, window: Window, step_s: float) -> FloatArray:
        new = round(NEW_S / step_s)
        found = self._newest.at(window.end, lambda: _rates(lake, Window.trailing(window.end, NEW_S), step_s))
        gone = round((window.end - kept.end).total_seconds() / step_s)
        steps = np.concatenate((kept.steps[gone:], np.zeros(gone)))
        steps[-new:] = found.get(model, 0.0)
        return steps


def _rates(lake: Lake, window: Window, step_s: float) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for model, step, requests in traffic.counts(lake, window, step_s):
        if model not in found:
            found[model] = np.zeros(round(window.span_s / step_s))
        found[model][step] = requests / step_s
    return found
