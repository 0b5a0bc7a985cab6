"""The labels and the kept estimates of a model -> its last whole windows, measured and estimated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Lock

from seamark.core.performance import Estimate, Performance, PerformanceMetric
from seamark.core.specs import PerformanceSpec
from seamark.core.windows import Window
from seamark.engine.estimates import KEPT
from seamark.engine.performance import measured_steps
from seamark.engine.scheduler import slot
from seamark.engine.services import Services

WINDOWS = 24
_AGAIN = 1 / 12  # of a window: labels come late, so one that lacks some is read again after so long
_MODELS = 200  # whose windows are remembered


@dataclass(frozen=True)
class PerformanceStep:
    """One window: what labels say of it, and what was expected without them (empty: no estimate was kept)."""

    window: Window
    measured: Performance
    estimated: Mapping[str, PerformanceMetric]


class MeasuredWindows:
    """What the windows last looked at were measured to be: a page that refreshes does not read the lake each time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._models: OrderedDict[str, tuple[datetime, dict[Window, Performance]]] = OrderedDict()

    def of(self, services: Services, model: str, windows: Sequence[Window], at: datetime) -> list[Performance]:
        """Measure the windows; they are remembered for a twelfth of a window, as labels may come and be corrected."""
        with self._lock:
            read_at, known = self._models.get(model, (at, {}))
        fresh = at - read_at < timedelta(seconds=windows[0].span_s * _AGAIN)
        found = {window: known[window] for window in windows if window in known and fresh}
        for run in _runs([window for window in windows if window not in found]):
            found |= zip(run, measured_steps(services, model, run), strict=True)
        with self._lock:
            self._models[model] = (read_at if fresh and known else at, found)
            self._models.move_to_end(model)
            while len(self._models) > _MODELS:
                self._models.popitem(last=False)
        return [found[window] for window in windows]


def _runs(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows that follow one another, which one read of the lake measures."""
    runs = [[window] for window in windows[:1]]
    for before, after in pairwise(windows):
        if before.end == after.start:
            runs[-1].append(after)
        else:
            runs.append([after])
    return runs


_measured = MeasuredWindows()


def steps(services: Services, model: str, at: datetime, windows: int = WINDOWS) -> list[PerformanceStep]:
    """Return the last whole windows of a model, oldest first."""
    spec = services.configuration.model(model)
    span_s = (spec.performance if spec else PerformanceSpec()).window_s
    last = slot(at, span_s)
    ends = [last - timedelta(seconds=span_s * back) for back in reversed(range(windows))]
    over = [Window.trailing(end, span_s) for end in ends]
    since = over[0].start
    kept = {
        found.finding.window: found.finding.metrics
        for found in services.catalog.findings.history(model, KEPT, Estimate, since=since, limit=4 * windows)
    }
    measured = _measured.of(services, model, over, at)
    return [PerformanceStep(window, found, kept.get(window, {})) for window, found in zip(over, measured, strict=True)]
