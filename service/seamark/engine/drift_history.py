"""The drift findings kept in the catalog -> one column per whole window, and the neighbours of a window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from seamark.core.drift_history import DriftColumn
from seamark.core.findings import DriftFinding
from seamark.core.specs import DriftSpec, ModelSpec
from seamark.core.windows import Window
from seamark.engine.monitors import drift_every_s
from seamark.engine.scheduler import slot
from seamark.engine.services import Services

WINDOWS = 24
_REACH = 1.5  # evaluations: how far from a window's end its finding may have been made


def columns(
    services: Services, model: str, at: datetime, newest: DriftFinding | None = None, windows: int = WINDOWS
) -> list[DriftColumn]:
    """Return the last whole windows of a model that is watched, oldest first, then `newest` where it is another one.

    Only the catalog is read. A finding over windows of another length (the configuration changed) is left out.
    """
    spec = services.configuration.model(model)
    if spec is None or spec.drift is None:
        return []
    span_s = spec.drift.window_s
    last = slot(at, span_s)
    ends = [last - timedelta(seconds=span_s * back) for back in reversed(range(windows))]
    findings = _near(services, spec, ends)
    found = [DriftColumn(Window.trailing(end, span_s), one) for end, one in zip(ends, findings, strict=True)]
    if newest is not None and newest not in findings[-1:]:
        found.append(DriftColumn(newest.window, newest, newest=True))
    return found


def kept(services: Services, model: str, version: str | None, window: Window) -> DriftFinding | None:
    """The finding that judged exactly this window, or None."""
    (found,) = services.catalog.findings.near(model, "drift", DriftFinding, [window.end], timedelta(0))
    finding = found.finding if found else None
    return finding if finding and finding.window == window and finding.version == version else None


def neighbours(services: Services, model: str, window: Window, at: datetime) -> tuple[Window, Window | None]:
    """Return the window before and the one after (None: it is not over yet), those that were judged where there are."""
    ends = [window.start, window.end + (window.end - window.start)]
    spec = services.configuration.model(model)
    if spec and spec.drift and spec.drift.window_s == window.span_s:
        judged = _near(services, spec, ends)
    else:
        judged = [None, None]
    before, after = (
        finding.window if finding else Window.trailing(end, window.span_s)
        for finding, end in zip(judged, ends, strict=True)
    )
    return before, after if after.end <= at else None


def window_span_s(services: Services, model: str) -> float:
    """The length of the windows a model is watched over, in seconds, or the default."""
    spec = services.configuration.model(model)
    return (spec.drift if spec and spec.drift else DriftSpec()).window_s


def _near(services: Services, spec: ModelSpec, ends: Sequence[datetime]) -> list[DriftFinding | None]:
    assert spec.drift is not None
    reach = timedelta(seconds=_REACH * drift_every_s(spec))
    found = services.catalog.findings.near(spec.name, "drift", DriftFinding, ends, reach)
    return [one.finding if one and one.finding.window.span_s == spec.drift.window_s else None for one in found]
