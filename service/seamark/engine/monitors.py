"""A model's drift settings at a tick -> findings of drift and quality, of the whole and of segments, and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from seamark.core.findings import DriftFinding
from seamark.core.quality import QualityFinding
from seamark.core.specs import ModelSpec, Segment
from seamark.core.windows import Window
from seamark.engine import drift, quality
from seamark.engine.alerts import Condition, drift_rule, quality_rule
from seamark.engine.services import Services

# The drift windows of one instant, by their span in seconds.
DriftWindows = Mapping[float, drift.Together]

NAMED_MAX = 10  # features in an alert's words


def drift_every_s(spec: ModelSpec) -> float:
    """A sixth of the window, between 5 s and 10 min."""
    assert spec.drift is not None
    return min(max(spec.drift.window_s / 6, 5.0), 600.0)


def quality_every_s(spec: ModelSpec) -> float:
    """Every third time that drift is judged, of the same window, which is then read once."""
    return 3 * drift_every_s(spec)


def judge_drift(
    services: Services, spec: ModelSpec, at: datetime, together: DriftWindows | None = None
) -> list[Condition]:
    """Judge the trailing window and each segment of it; return their drift conditions."""
    assert spec.drift is not None
    window = Window.trailing(at, spec.drift.window_s)
    shared = (together or {}).get(spec.drift.window_s)
    current = shared.window_of(spec.name) if shared is not None else None
    finding = drift.judge(services, spec.name, None, window, current)
    services.catalog.findings.put(spec.name, "drift", at, finding)
    conditions = [_drift_condition(services, spec, finding, ())]
    parts = []
    for segment in spec.drift.segments:
        parts.append(drift.judge(services, spec.name, None, window, segments=segment))
        conditions.append(_drift_condition(services, spec, parts[-1], segment))
    if parts:
        services.catalog.findings.put(spec.name, "drift_segments", at, tuple(parts), replace=True)
    return conditions


def _drift_condition(services: Services, spec: ModelSpec, finding: DriftFinding, segment: Segment) -> Condition:
    moved = [f for f in finding.features if f.drifted]
    words = ", ".join(f"{f.feature} ({f.method} {f.score:.3g}, p {f.p_value:.1g})" for f in moved[:NAMED_MAX])
    return Condition(
        rule=drift_rule(spec, segment),
        is_so=finding.drifted,
        value=float(len(moved)) if finding.drifted is not None else None,
        annotations={"description": f"drifted: {words}" if moved else "no feature drifts"},
        links={"model": f"{services.url}/models/{spec.name}"},
    )


def judge_quality(
    services: Services, spec: ModelSpec, at: datetime, together: DriftWindows | None = None
) -> list[Condition]:
    """Assess the trailing window and each segment of it; return their quality conditions."""
    assert spec.drift is not None
    window = Window.trailing(at, spec.drift.window_s)
    shared = (together or {}).get(spec.drift.window_s)
    current = shared.window_of(spec.name) if shared is not None else None
    finding = quality.assess(services, spec.name, None, window, current)
    services.catalog.findings.put(spec.name, "quality", at, finding, replace=True)
    conditions = [_quality_condition(services, spec, finding, ())]
    parts = []
    for segment in spec.drift.segments:
        parts.append(quality.assess(services, spec.name, None, window, segments=segment))
        conditions.append(_quality_condition(services, spec, parts[-1], segment))
    if parts:
        services.catalog.findings.put(spec.name, "quality_segments", at, tuple(parts), replace=True)
    return conditions


def _quality_condition(services: Services, spec: ModelSpec, finding: QualityFinding, segment: Segment) -> Condition:
    worse = [f"{f.feature} ({c.check} {c.ratio:.2%})" for f in finding.features for c in f.checks if c.worse]
    if finding.duplicates.worse:
        worse.append(f"rows that repeat another ({finding.duplicates.ratio:.2%})")
    refused = [change for change in finding.schema if change.change == "type_refused"]
    worse += [f"{change.feature} (sent as {change.sent}, {change.rows} rows refused)" for change in refused]
    return Condition(
        rule=quality_rule(spec, segment),
        is_so=True if worse else finding.worse,
        value=float(len(worse)) if worse or finding.worse is not None else None,
        annotations={"description": f"worse: {', '.join(worse[:NAMED_MAX])}" if worse else "the data are as before"},
        links={"model": f"{services.url}/models/{spec.name}"},
    )
