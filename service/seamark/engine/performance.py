"""Labels that have come, and estimates without them -> how well a model does, in a window or step by step."""

from __future__ import annotations

from collections.abc import Sequence

from seamark.compute import performance
from seamark.core.performance import Performance, PerformancePoint
from seamark.core.windows import Window
from seamark.engine import estimates
from seamark.engine.services import Services
from seamark.store import labels
from seamark.store.segments import Segments


def measure(
    services: Services, model: str, version: str | None, window: Window, segments: Segments = ()
) -> Performance:
    """Return the measured performance of a window."""
    rows = labels.labelled(services.lake, model, window, version=version, segments=segments)
    return performance.measure(window, rows, positive=_positive(services, model))


def both(
    services: Services, model: str, version: str | None, window: Window, segments: Segments = ()
) -> PerformancePoint:
    """Return a window measured and estimated."""
    (estimated,) = estimates.estimate(services, model, version, [window], segments)
    return PerformancePoint(measure(services, model, version, window, segments), estimated)


def measured_steps(services: Services, model: str, windows: Sequence[Window]) -> list[Performance]:
    """Return the measured performance of windows that follow each other; one read of the lake for all of them."""
    positive = _positive(services, model)
    rows = labels.labelled_by_step(services.lake, model, list(windows))
    return [performance.measure(step, found, positive=positive) for step, found in zip(windows, rows, strict=True)]


def series(
    services: Services, model: str, version: str | None, window: Window, step_s: float, segments: Segments = ()
) -> list[PerformancePoint]:
    """Return each step of a window measured and estimated, from its start on; the last step may be shorter."""
    windows = labels.steps(window, step_s)
    rows = labels.labelled_by_step(services.lake, model, windows, version=version, segments=segments)
    estimated = estimates.estimate(services, model, version, windows, segments)
    positive = _positive(services, model)
    return [
        PerformancePoint(performance.measure(step, found, positive=positive), expected)
        for step, found, expected in zip(windows, rows, estimated, strict=True)
    ]


def _positive(services: Services, model: str) -> str | None:
    spec = services.configuration.model(model)
    return spec.performance.positive if spec else None
