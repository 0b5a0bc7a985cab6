"""Labels that have come -> how well a model does, with the coverage behind every figure."""

from __future__ import annotations

from seamark.compute import performance
from seamark.core.findings import Performance
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import labels


def measure(services: Services, model: str, version: str | None, window: Window) -> Performance:
    """Return the measured performance of a window."""
    return performance.measure(window, labels.labelled(services.lake, model, window, version=version))
