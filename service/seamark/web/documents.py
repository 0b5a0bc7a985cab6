"""Findings and records -> the JSON documents of the public contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from seamark.core.findings import (
    Alert,
    DriftFinding,
    FeatureDrift,
    LatencyPoint,
    ModelOverview,
    SloStatus,
    to_document,
)
from seamark.core.load_answers import AnswerCheck
from seamark.core.load_traces import RunTraces
from seamark.core.quality import QualityCheck, QualityFinding
from seamark.core.windows import Window
from seamark.engine.configuration import PlanView
from seamark.engine.loadtests import Waiting
from seamark.store.catalog.runs import RunRecord
from seamark.store.catalog.schedule import Mark
from seamark.web.performance import estimated, measured


def latency(points: Sequence[LatencyPoint]) -> list[dict[str, Any]]:
    """One row per step and group, the groups' names beside the figures."""
    rows = to_document(list(points))
    return [{**{k: v for k, v in row.items() if k != "by"}, **row["by"]} for row in rows]


def drift(finding: DriftFinding) -> dict[str, Any]:
    """A drift finding with the decisions spelled out."""
    return {
        "model": finding.model,
        "version": finding.version,
        "segment": dict(finding.segment),
        "window": _window(finding.window),
        "reference_id": finding.reference_id,
        "drifted": finding.drifted,
        "features": [feature(f) for f in finding.features],
    }


def feature(f: FeatureDrift) -> dict[str, Any]:
    """One feature's drift."""
    return {**to_document(f), "drifted": f.drifted}


def quality(finding: QualityFinding) -> dict[str, Any]:
    """Data quality of a window with the decisions spelled out."""
    return {
        "model": finding.model,
        "version": finding.version,
        "segment": dict(finding.segment),
        "window": _window(finding.window),
        "rows": finding.rows,
        "reference_id": finding.reference_id,
        "worse": finding.worse,
        "features": [
            {**to_document(feature), "checks": [_check(check) for check in feature.checks]}
            for feature in finding.features
        ],
        "duplicates": _check(finding.duplicates),
        "schema": to_document(list(finding.schema)),
    }


def _check(check: QualityCheck) -> dict[str, Any]:
    return {**to_document(check), "worse": check.worse}


def slo(status: SloStatus) -> dict[str, Any]:
    """One objective with each burn rate's decision."""
    rates = [{**to_document(rate), "exceeded": rate.exceeded} for rate in status.burn_rates]
    return {**to_document(status), "burn_rates": rates}


def model(o: ModelOverview) -> dict[str, Any]:
    """A model at a glance."""
    return {
        "name": o.model,
        "at": to_document(o.at),
        "liveness": o.liveness,
        "last_seen_at": to_document(o.last_seen_at),
        "live_rps": o.live_rps,
        "versions": to_document(list(o.versions)),
        "latency": latency(o.latency),
        "slo": [slo(status) for status in o.slo],
        "drift": drift(o.drift) if o.drift else None,
        "performance": measured(o.performance) if o.performance else None,
        "estimated_performance": estimated(o.estimate) if o.estimate else None,
        "capacity": {**to_document(o.capacity), "at": to_document(o.capacity_at), "run_id": o.capacity_run_id}
        if o.capacity
        else None,
        "recommendation": to_document(o.recommendation),
        "headroom_ratio": o.recommendation.headroom_ratio if o.recommendation else None,
        "alerts": [alert(a) for a in o.alerts],
    }


def plan(view: PlanView, next_at: datetime | None, mark: Mark | None) -> dict[str, Any]:
    """A load-test plan: as written, from where, when its schedule is due next, what it missed (null: no schedule)."""
    missed = None
    if mark is not None:
        last_at = to_document(mark.missed_at)
        missed = {"count": mark.missed, "last_at": last_at, "why": mark.missed_why or None}
    return {
        "name": view.name,
        "origin": view.origin,
        "plan": to_document(view.document),
        "problem": view.problem,
        "next_run_at": to_document(next_at),
        "missed": missed,
    }


def run(record: RunRecord, waiting: Waiting | None = None) -> dict[str, Any]:
    """A run as CI reads it: figures that are not known yet, or never will be, are null."""
    verdict = to_document(record.verdict) if record.verdict else {}
    figures = ("requests", "errors", "asked_rate", "achieved_rate", "latency_ms", "service_latency_ms", "lateness_ms")
    return {
        "id": record.id,
        "plan": record.plan,
        "model": record.model,
        "status": record.status.value,
        "reason": record.reason,
        "trigger": record.trigger,
        "attempt": record.attempt,
        "retry_of": record.retry_of,
        "retried_as": record.retried_as,
        "waiting_for": {"reason": waiting.reason, "run_id": waiting.run_id} if waiting else None,
        "worker": record.worker,
        "scheduled_for": to_document(record.scheduled_for),
        "created_at": to_document(record.created_at),
        "started_at": to_document(record.started_at),
        "ended_at": to_document(record.ended_at),
        **{name: verdict.get(name) for name in figures},
        "thresholds": verdict.get("thresholds", []),
        "capacity": verdict.get("capacity"),
        "generator_saturated": verdict.get("generator_saturated"),
        "tokens": verdict.get("tokens"),
        "goodput": verdict.get("goodput"),
        "answers": _answers(record.verdict.answers if record.verdict else None),
        "error_kinds": verdict.get("error_kinds", []),
        "notes": verdict.get("notes", []),
        "baseline": verdict.get("baseline"),
    }


def progress_line(document: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of a run's progress. Users that wait for their answers ask for no rate: null, where the line has 0."""
    return body if asks_rate(document) else {**body, "asked_rps": None}


def asks_rate(document: Mapping[str, Any]) -> bool:
    """Whether a plan asks for a rate: users, and a locustfile of one's own, send as answers come."""
    shape = document.get("shape")
    closed = isinstance(shape, Mapping) and "users" in shape
    return not closed and not str(document.get("scenario", "")).endswith(".py")


def _answers(check: AnswerCheck | None) -> dict[str, Any] | None:
    return None if check is None else {**to_document(check), "mismatch_ratio": check.ratio}


def run_traces(found: RunTraces) -> dict[str, Any]:
    """Where a run's server time went."""
    return dict(to_document(found))


def alert(a: Alert) -> dict[str, Any]:
    """An alert with its state on top."""
    return {
        "fingerprint": a.fingerprint,
        "alertname": a.rule.name,
        "state": a.state.status.value,
        "severity": a.rule.severity,
        "labels": dict(a.rule.labels),
        "since": to_document(a.state.since),
        "started_at": to_document(a.state.started_at),
        "unknown_since": to_document(a.state.unknown_since),
        "value": a.state.value,
        "summary": a.rule.summary,
        "annotations": dict(a.annotations),
        "links": dict(a.links),
    }


def _window(w: Window) -> dict[str, Any]:
    return {"start": to_document(w.start), "end": to_document(w.end)}
