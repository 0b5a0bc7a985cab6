"""A tick -> what is due for each configured model: SLO, drift, performance, and the alerts they imply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from urllib.parse import urlencode

from seamark.compute import slo
from seamark.core.findings import SloStatus
from seamark.core.performance import Estimate, Performance
from seamark.core.specs import ModelSpec
from seamark.core.windows import Window, format_duration
from seamark.engine import estimates
from seamark.engine.alerts import Condition, advance, slo_rule
from seamark.engine.drift import Together
from seamark.engine.monitors import DriftWindows, drift_every_s, judge_drift, judge_quality, quality_every_s
from seamark.engine.performance import both
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import spans

STALE_S = 180.0


# Evaluates one part of a model at an instant; returns the conditions its alert rules go by.
Part = Callable[[Services, ModelSpec, datetime], list[Condition]]


@dataclass
class Evaluator:
    """Remembers which slot each part of each model was evaluated for last."""

    done: dict[tuple[str, str], datetime] = field(default_factory=dict)
    configured_at: datetime | None = None

    def tick(self, services: Services, at: datetime) -> None:
        """Evaluate what is due at `at`. One model that fails does not keep the others from their turn."""
        failures: list[Exception] = []
        specs = services.configuration.current().models
        if services.configuration.applied_at != self.configured_at:
            advance(services, [], at)  # what fires although the new configuration has no rule for it resolves
            self.configured_at = services.configuration.applied_at
        together = self._due_together(services, specs, at)
        for spec in specs:
            for part, every_s, run in _parts(spec, together):
                try:
                    self._run(services, spec, part, every_s, run, at)
                except Exception as error:  # noqa: BLE001 - the others go on; it is raised below
                    failures.append(error)
        if failures:
            raise failures[0]

    def _due_together(self, services: Services, specs: Sequence[ModelSpec], at: datetime) -> DriftWindows:
        """Return the drift windows that are due now, by their span."""
        due: dict[float, list[str]] = {}
        for spec in specs:
            if spec.drift and self.done.get((spec.name, "drift")) != slot(at, drift_every_s(spec)):
                due.setdefault(spec.drift.window_s, []).append(spec.name)
        return {span_s: Together(services, due[span_s], Window.trailing(at, span_s)) for span_s in due}

    def _run(self, services: Services, spec: ModelSpec, part: str, every_s: float, run: Part, at: datetime) -> None:
        """Evaluate one part when its slot has come; one that failed is tried again at the next tick."""
        due = slot(at, every_s)
        if self.done.get((spec.name, part)) == due:
            return
        conditions = run(services, spec, at)
        if conditions:
            advance(services, conditions, at)
        self.done[spec.name, part] = due


def _parts(spec: ModelSpec, together: DriftWindows) -> list[tuple[str, float, Part]]:
    """What is evaluated of a model, how often in seconds, and by what."""
    parts: list[tuple[str, float, Part]] = []
    if spec.slo:
        parts.append(("slo", slo_every_s(spec), judge_slo))
    if spec.drift:
        parts.append(("drift", drift_every_s(spec), partial(judge_drift, together=together)))
        parts.append(("quality", quality_every_s(spec), partial(judge_quality, together=together)))
    parts.append(("performance", performance_every_s(spec), judge_performance))
    parts.append(("estimates", spec.performance.window_s, keep_estimates))
    return parts


def slo_every_s(spec: ModelSpec) -> float:
    """Half the shortest burn-rate window, between 2 s and 30 s."""
    assert spec.slo is not None
    return min(max(min(slo.windows_s(spec.slo)) / 2, 2.0), 30.0)


def performance_every_s(spec: ModelSpec) -> float:
    """A sixtieth of the window, between 15 s and 5 min."""
    return min(max(spec.performance.window_s / 60, 15.0), 300.0)


def judge_slo(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Measure the objectives and return the burn-rate conditions."""
    assert spec.slo is not None
    slow_ms = spec.slo.latency.limit if spec.slo.latency else None
    windows = slo.windows_s(spec.slo)
    counts = {c.window_s: c for c in spans.slo_counts(services.lake, spec.name, at, windows, slow_ms)}
    statuses = tuple(slo.status(objective, counts, at) for objective in slo.objectives(spec.slo))
    services.catalog.findings.put(spec.name, "slo", at, statuses, replace=True)
    return [_burn(services, spec, status, severity) for status in statuses for severity in ("page", "ticket")]


# What the trace page is asked for, by objective: the requests that spend its budget.
_BAD_REQUESTS = {"availability": {"status": "error"}, "latency": {"sort": "slowest"}}


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
        links={
            "model": f"{services.url}/models/{spec.name}",
            "traces": f"{services.url}/traces?{urlencode({'model': spec.name, **_BAD_REQUESTS[status.kind]})}",
        },
    )


def judge_performance(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Measure the trailing window by the labels that have come, and estimate it; no alert goes by it yet."""
    found = both(services, spec.name, None, Window.trailing(at, spec.performance.window_s))
    services.catalog.findings.put(spec.name, "performance", at, found.measured, replace=True)
    services.catalog.findings.put(spec.name, "estimate", at, found.estimated, replace=True)
    return []


def keep_estimates(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Keep the estimate of the window that ended last, and score those whose labels have come."""
    end = slot(at, spec.performance.window_s)
    estimates.keep(services, spec.name, Window.trailing(end, spec.performance.window_s), at)
    return []


def latest_performance(services: Services, spec: ModelSpec, at: datetime) -> Performance | None:
    """The newest performance finding; None where none was made lately."""
    found = services.catalog.findings.latest(spec.name, "performance", Performance)
    return found.finding if found and _is_fresh(spec, found.at, at) else None


def latest_estimate(services: Services, spec: ModelSpec, at: datetime) -> Estimate | None:
    """The newest estimate; None where none was made lately."""
    found = services.catalog.findings.latest(spec.name, "estimate", Estimate)
    return found.finding if found and _is_fresh(spec, found.at, at) else None


def _is_fresh(spec: ModelSpec, made_at: datetime, at: datetime) -> bool:
    return (at - made_at).total_seconds() <= STALE_S + 2 * performance_every_s(spec)
