"""Everything known of a model -> one overview, for pages, GET /models and /metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from seamark.core.advice import Recommendation
from seamark.core.errors import NotFound
from seamark.core.findings import (
    Alert,
    AlertStatus,
    Capacity,
    DriftFinding,
    LatencyPoint,
    ModelOverview,
    ModelSeen,
    SloStatus,
)
from seamark.core.quality import QualityFinding
from seamark.core.windows import Window
from seamark.engine.advice_store import whole
from seamark.engine.evaluate import STALE_S, latest_estimate, latest_performance, slo_every_s
from seamark.engine.live_arrivals import LIVE_S, read_arrivals
from seamark.engine.monitors import drift_every_s, quality_every_s
from seamark.engine.services import Services
from seamark.store import spans

RECENT_S = 300.0


def overviews(services: Services, at: datetime) -> list[ModelOverview]:
    """Every model that was heard of or is configured, by name."""
    seen: dict[str, list[ModelSeen]] = {}
    for version in services.heard.versions(at, at - timedelta(seconds=RECENT_S)):
        seen.setdefault(version.model, []).append(version)
    for spec in services.configuration.current().models:
        seen.setdefault(spec.name, [])
    alerts = services.catalog.alerts.all((AlertStatus.PENDING, AlertStatus.FIRING))
    services.remembered.asked.note([model for model, versions in seen.items() if _is_live(versions, at)], at)
    return [_overview(services, model, versions, alerts, at) for model, versions in sorted(seen.items())]


def overview(services: Services, model: str, at: datetime) -> ModelOverview:
    """One model; NotFound where it was never heard of and is not configured."""
    versions = services.heard.versions(at, at - timedelta(seconds=RECENT_S), model)
    if not versions and services.configuration.model(model) is None:
        raise NotFound(
            f"there is no model {model[:100]!r}: nothing was received from it and seamark.yaml does not name it"
        )
    alerts = services.catalog.alerts.all((AlertStatus.PENDING, AlertStatus.FIRING))
    return _overview(services, model, versions, alerts, at)


def _overview(
    services: Services, model: str, versions: list[ModelSeen], alerts: list[Alert], at: datetime
) -> ModelOverview:
    last_seen_at = max((version.last_seen_at for version in versions), default=None)
    live = _is_live(versions, at)
    spec = services.configuration.model(model)
    capacity = services.catalog.findings.latest(model, "capacity", Capacity)
    slo = services.catalog.findings.latest(model, "slo", tuple[SloStatus, ...]) if spec and spec.slo else None
    fresh_slo = slo if spec and slo and _is_fresh(slo.at, slo_every_s(spec), at) else None
    drift = services.catalog.findings.latest(model, "drift", DriftFinding) if spec and spec.drift else None
    fresh_drift = drift if spec and drift and _is_fresh(drift.at, drift_every_s(spec), at) else None
    quality = services.catalog.findings.latest(model, "quality", QualityFinding) if spec and spec.drift else None
    fresh_quality = quality if spec and quality and _is_fresh(quality.at, quality_every_s(spec), at) else None
    return ModelOverview(
        model=model,
        at=at,
        liveness="live" if live else "stale" if last_seen_at else "unknown",
        versions=tuple(sorted(versions, key=lambda v: v.last_seen_at, reverse=True)),
        last_seen_at=last_seen_at,
        live_rps=read_arrivals(services, model, at).rate_rps if live else None,
        latency=tuple(recent_latency(services, model, at)) if live else (),
        capacity=capacity.finding if capacity else None,
        capacity_at=capacity.at if capacity else None,
        capacity_run_id=capacity.run_id if capacity else None,
        slo=fresh_slo.finding if fresh_slo else (),
        drift=fresh_drift.finding if fresh_drift else None,
        performance=latest_performance(services, spec, at) if spec else None,
        recommendation=current_advice(services, model, at),
        alerts=tuple(alert for alert in alerts if alert.rule.labels.get("model") == model),
        quality=fresh_quality.finding if fresh_quality else None,
        estimate=latest_estimate(services, spec, at) if spec else None,
    )


def _is_live(versions: list[ModelSeen], at: datetime) -> bool:
    return any(at - version.last_seen_at <= timedelta(seconds=LIVE_S) for version in versions)


def _is_fresh(made_at: datetime, every_s: float, at: datetime) -> bool:
    """A finding speaks for now while its evaluation keeps up; when the worker is gone it is history."""
    return (at - made_at).total_seconds() <= STALE_S + 2 * every_s


def current_advice(services: Services, model: str, at: datetime) -> Recommendation | None:
    """The newest recommendation; as `hold` without a number where it is old, None where none is asked for or made."""
    spec = services.configuration.model(model)
    found = services.catalog.findings.latest(model, "recommendation", Recommendation)
    if spec is None or spec.autoscale is None or found is None:
        return None
    age_s = (at - found.at).total_seconds()
    if age_s <= STALE_S:
        return whole(services, found.finding)
    # Old advice is no advice: a scaler that polls must not follow it, KEDA's fallback takes over on null.
    reason = f"Hold: the last recommendation is {age_s:.0f} s old; no worker has evaluated {model} since."
    kept = whole(services, found.finding)
    return replace(kept, state="hold", replicas=None, current=None, headroom_ratio=None, reason=reason)


def recent_latency(services: Services, model: str, at: datetime) -> list[LatencyPoint]:
    """Latency of the last five minutes, by version."""
    window = Window.trailing(at, RECENT_S)
    return spans.latency_points(services.lake, model, window, RECENT_S, by=("version",))
