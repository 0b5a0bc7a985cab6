"""A tick -> what is due for each configured model: SLO, drift, performance, advice, and the alerts they imply."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from seamark.compute import autoscale, forecast, slo
from seamark.core.findings import Capacity, DriftFinding, Forecast, Performance, Recommendation, SloStatus
from seamark.core.specs import ModelSpec
from seamark.core.windows import Window, format_duration
from seamark.engine import drift
from seamark.engine.alerts import Condition, advance, drift_rule, slo_rule
from seamark.engine.performance import measure
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import spans

ARRIVAL_STEP_S = 10.0
ARRIVAL_HISTORY_S = 3600.0
DECISION_LAG_S = 15.0
COLD_START_DEFAULT_S = 60.0
PERFORMANCE_WINDOW_S = 3600.0
LIVE_S = 120.0


@dataclass
class Evaluator:
    """Remembers which slot each part of each model was evaluated for last."""

    done: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def tick(self, services: Services, at: datetime) -> None:
        """Evaluate what is due at `at`. One model that fails does not keep the others from their turn."""
        failures: list[Exception] = []
        for spec in services.configuration.current().models:
            try:
                self._model(services, spec, at)
            except Exception as error:  # noqa: BLE001 - the others go on; it is raised below
                failures.append(error)
        if failures:
            raise failures[0]

    def _model(self, services: Services, spec: ModelSpec, at: datetime) -> None:
        conditions: list[Condition] = []
        if spec.slo and self._due(spec.name, "slo", slo_every_s(spec), at):
            conditions += judge_slo(services, spec, at)
        if spec.drift and self._due(spec.name, "drift", drift_every_s(spec), at):
            conditions += judge_drift(services, spec, at)
        if self._due(spec.name, "performance", 15.0, at):
            window = Window.trailing(at, PERFORMANCE_WINDOW_S)
            services.catalog.findings.put(
                spec.name, "performance", at, measure(services, spec.name, None, window), replace=True
            )
        if self._due(spec.name, "recommendation", 10.0, at):
            advise(services, spec, at)
        if conditions:
            advance(services, conditions, at)

    def _due(self, model: str, part: str, every_s: float, at: datetime) -> bool:
        due = slot(at, every_s)
        if self.done.get((model, part)) == due:
            return False
        self.done[model, part] = due
        return True


def slo_every_s(spec: ModelSpec) -> float:
    """Half the shortest burn-rate window, between 2 s and 30 s."""
    assert spec.slo is not None
    return min(max(min(slo.windows_s(spec.slo)) / 2, 2.0), 30.0)


def drift_every_s(spec: ModelSpec) -> float:
    """A sixth of the window, between 5 s and 5 min."""
    assert spec.drift is not None
    return min(max(spec.drift.window_s / 6, 5.0), 300.0)


def judge_slo(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Measure the objectives and return the burn-rate conditions."""
    assert spec.slo is not None
    slow_ms = spec.slo.latency.limit if spec.slo.latency else None
    windows = slo.windows_s(spec.slo)
    counts = {c.window_s: c for c in spans.slo_counts(services.lake, spec.name, at, windows, slow_ms)}
    statuses = tuple(slo.status(objective, counts, at) for objective in slo.objectives(spec.slo))
    services.catalog.findings.put(spec.name, "slo", at, statuses, replace=True)
    return [_burn(services, spec, status, severity) for status in statuses for severity in ("page", "ticket")]


def _burn(services: Services, spec: ModelSpec, status: SloStatus, severity: str) -> Condition:
    rates = [rate for rate in status.burn_rates if rate.severity == severity]
    known = [rate for rate in rates if rate.exceeded is not None]
    worst = max(known, key=lambda rate: min(rate.long or 0.0, rate.short or 0.0) / rate.factor, default=None)
    annotations = {}
    if worst is not None:
        annotations["description"] = (
            f"{status.objective}: the error budget burns {worst.long:.1f} times too fast over "
            f"{format_duration(worst.long_s)} and {worst.short:.1f} times over {format_duration(worst.short_s)} "
            f"(alarm above {worst.factor:g} in both)"
        )
    return Condition(
        rule=slo_rule(spec, status.kind, severity),
        is_so=any(rate.exceeded for rate in known) if known else None,
        value=worst.long if worst else None,
        annotations=annotations,
        links={"model": f"{services.url}/models/{spec.name}"},
    )


def judge_drift(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Judge the trailing window and return the drift condition."""
    assert spec.drift is not None
    finding = drift.judge(services, spec.name, None, Window.trailing(at, spec.drift.window_s))
    services.catalog.findings.put(spec.name, "drift", at, finding)
    moved = [f for f in finding.features if f.drifted]
    words = ", ".join(f"{f.feature} ({f.method} {f.score:.3g}, p {f.p_value:.1g})" for f in moved[:10])
    return [
        Condition(
            rule=drift_rule(spec),
            is_so=finding.drifted,
            value=float(len(moved)) if finding.drifted is not None else None,
            annotations={"description": f"drifted: {words}" if moved else "no feature drifts"},
            links={"model": f"{services.url}/models/{spec.name}"},
        )
    ]


def advise(services: Services, spec: ModelSpec, at: datetime) -> Recommendation | None:
    """Make the replica recommendation of now and keep it; None for a model without autoscale settings."""
    if spec.autoscale is None:
        return None
    cold_start_s = spec.autoscale.cold_start_s
    horizon_s = (COLD_START_DEFAULT_S if cold_start_s is None else cold_start_s) + DECISION_LAG_S
    live_rps, coming = traffic(services, spec.name, at, horizon_s)
    found = services.catalog.findings.latest(spec.name, "capacity", Capacity)
    since = at - timedelta(seconds=autoscale.SCALE_IN_HOLD_S)
    recent = services.catalog.findings.history(spec.name, "recommendation", Recommendation, since=since)
    recommendation = autoscale.recommend(
        spec.name,
        at,
        spec.autoscale,
        arrivals_rps_last_minute=live_rps,
        forecast=coming,
        capacity=found.finding if found else None,
        current=spans.instances(services.lake, spec.name, Window.trailing(at, 60.0)),
        recent=[found.finding for found in recent],
    )
    services.catalog.findings.put(spec.name, "recommendation", at, recommendation)
    return recommendation


def traffic(services: Services, model: str, at: datetime, horizon_s: float) -> tuple[float | None, Forecast]:
    """Return (arrivals per second over the last minute, forecast at the horizon); silence is None, not 0."""
    end = slot(at, ARRIVAL_STEP_S)
    steps = spans.arrivals(services.lake, model, Window.trailing(end, ARRIVAL_HISTORY_S), ARRIVAL_STEP_S)
    heard = steps.nonzero()[0]
    if len(heard) == 0:
        return None, Forecast(at, horizon_s, "stale", "none")
    since_first = steps[heard[0] :]
    if (len(steps) - heard[-1]) * ARRIVAL_STEP_S > LIVE_S:
        return None, Forecast(at, horizon_s, "stale", "none")
    last_minute = since_first[-6:]
    return float(last_minute.mean()), forecast.forecast(since_first, ARRIVAL_STEP_S, horizon_s, at)


def latest_performance(services: Services, model: str) -> Performance | None:
    """The newest performance finding, or None."""
    found = services.catalog.findings.latest(model, "performance", Performance)
    return found.finding if found else None


def latest_drift(services: Services, model: str) -> DriftFinding | None:
    """The newest drift finding, or None."""
    found = services.catalog.findings.latest(model, "drift", DriftFinding)
    return found.finding if found else None
