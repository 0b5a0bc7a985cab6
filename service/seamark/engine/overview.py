"""Everything known of a model -> one overview, for pages, GET /models and /metrics."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.core.errors import NotFound
from seamark.core.findings import (
    Alert,
    AlertStatus,
    Capacity,
    LatencyPoint,
    ModelOverview,
    ModelSeen,
    Recommendation,
    SloStatus,
)
from seamark.core.windows import Window
from seamark.engine.evaluate import LIVE_S, latest_drift, latest_performance, traffic
from seamark.engine.services import Services
from seamark.store import spans

RECENT_S = 300.0


def overviews(services: Services, at: datetime) -> list[ModelOverview]:
    """Every model that was heard of or is configured, by name."""
    seen: dict[str, list[ModelSeen]] = {}
    for version in spans.models_seen(services.lake, at - timedelta(seconds=RECENT_S)):
        seen.setdefault(version.model, []).append(version)
    for spec in services.configuration.current().models:
        seen.setdefault(spec.name, [])
    alerts = services.catalog.alerts.all((AlertStatus.PENDING, AlertStatus.FIRING))
    return [_overview(services, model, versions, alerts, at) for model, versions in sorted(seen.items())]


def overview(services: Services, model: str, at: datetime) -> ModelOverview:
    """One model; NotFound where it was never heard of and is not configured."""
    versions = [v for v in spans.models_seen(services.lake, at - timedelta(seconds=RECENT_S)) if v.model == model]
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
    live = last_seen_at is not None and at - last_seen_at <= timedelta(seconds=LIVE_S)
    capacity = services.catalog.findings.latest(model, "capacity", Capacity)
    slo = services.catalog.findings.latest(model, "slo", tuple[SloStatus, ...])
    advice = services.catalog.findings.latest(model, "recommendation", Recommendation)
    return ModelOverview(
        model=model,
        at=at,
        liveness="live" if live else "stale" if last_seen_at else "unknown",
        versions=tuple(sorted(versions, key=lambda v: v.last_seen_at, reverse=True)),
        last_seen_at=last_seen_at,
        live_rps=traffic(services, model, at, 60.0)[0] if live else None,
        latency=tuple(recent_latency(services, model, at)) if live else (),
        capacity=capacity.finding if capacity else None,
        capacity_at=capacity.at if capacity else None,
        capacity_run_id=capacity.run_id if capacity else None,
        slo=slo.finding if slo else (),
        drift=latest_drift(services, model),
        performance=latest_performance(services, model),
        recommendation=advice.finding if advice else None,
        alerts=tuple(alert for alert in alerts if alert.rule.labels.get("model") == model),
    )


def recent_latency(services: Services, model: str, at: datetime) -> list[LatencyPoint]:
    """Latency of the last five minutes, by version."""
    window = Window.trailing(at, RECENT_S)
    return spans.latency_points(services.lake, model, window, RECENT_S, by=("version",))
