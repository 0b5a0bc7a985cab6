"""Made-up plans, runs and alerts, and a page source that serves them with the made-up models, by scene."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sample_facts import (
    AT,
    HOSTILE,
    MANIFEST,
    ago,
    alert,
    all_models,
    capacity,
    hostile_models,
    latency,
    quality,
)
from sample_headroom import sample_headroom
from sample_quality import drift_history, explained, performance_history
from sample_traces import sample_requests, sample_trace

from seamark.core.baseline import BaselineFinding, BaselineMetric, BaselineState, PastRun
from seamark.core.errors import NotFound, StoreUnavailable
from seamark.core.findings import (
    Alert,
    AlertStatus,
    ErrorKind,
    LatencySummary,
    ModelOverview,
    RunStatus,
    ThresholdResult,
    Verdict,
)
from seamark.core.headroom import Headroom
from seamark.core.load_answers import AnswerCheck, Goodput, TokenSummary, TokenTimes
from seamark.core.measures import TokenStep
from seamark.core.scaling import Interval, QueueFit, ReplicaGain, Scaling, UslFit
from seamark.core.windows import Window
from seamark.engine.distributions import Explained
from seamark.store.catalog.schedule import Mark
from seamark.store.traces import Search, Trace
from seamark.web.page_model import ModelFacts
from seamark.web.page_runs import PlanFacts, RunFacts

DOCUMENT: Mapping[str, Any] = {
    "name": "churn-nightly",
    "model": "churn",
    "target": "http://127.0.0.1:8080/predict",
    "payload": {"replay": "1h"},
    "shape": {"capacity": {"start_rps": 10, "stop_rps": 2000, "step_s": 20}},
    "thresholds": ["p99(latency_ms) < 300", "error_ratio < 0.01"],
    "schedule": "0 3 * * *",
}


MISSED = Mark("churn-nightly", "0 3 * * * UTC", ago(41_400), 3, ago(127_800), "the last run had not begun yet")


TOKEN_TIMES = TokenTimes(60.2, 70.0, 80.0, 90.0)
SCALING = Scaling(
    UslFit("too_few_points", 5),
    QueueFit("too_few_points", 5),
    ReplicaGain(1, 48.0, Interval(48.0, 44.0, 52.0), None, "one more replica brings about +48 requests/s (44–52)"),
)


def verdict(status: RunStatus, reason: str, *, p99: float = 212.0, saturated: bool = False) -> Verdict:
    return Verdict(
        status,
        reason,
        14_210,
        31,
        48.0,
        47.9,
        LatencySummary(14.2, 71.0, p99, 1900.0),
        LatencySummary(13.8, 69.0, 96.0, 640.0),
        LatencySummary(0.1, 0.9, 118.0, 1720.0),
        (ThresholdResult("p99(latency_ms) < 300", p99, p99 < 300), ThresholdResult("error_ratio < 0.01", 0.0022, True)),
        capacity(),
        saturated,
    )


def run(run_id: str, status: RunStatus, age_s: float, found: Verdict | None = None, **changes: Any) -> RunFacts:
    ended = ago(age_s - 140) if status.final else None
    began = None if status == RunStatus.QUEUED else ago(age_s)
    values: dict[str, Any] = {
        "id": run_id,
        "plan": "churn-nightly",
        "model": "churn",
        "document": DOCUMENT,
        "trigger": "schedule",
        "status": status,
        "reason": found.reason if found else "",
        "created_at": ago(age_s + 3),
        "started_at": began,
        "ended_at": ended,
        "stop_requested": False,
        "verdict": found,
    }
    return RunFacts(**{**values, **changes})


def progress_line(t_s: int) -> dict[str, Any]:
    asked = 10.0 * 2 ** (t_s // 20)
    done = sum(10.0 * 2 ** (s // 20) for s in range(t_s))
    return {
        "t_s": t_s,
        "segment": t_s // 20,
        "asked_rps": asked,
        "sent": int(done + 2),
        "done": int(done),
        "failed": max(t_s - 70, 0),
        "in_flight": int(asked / 12),
        "p50_ms": 11 + asked / 20,
        "p95_ms": 30 + asked / 3,
        "p99_ms": 40 + asked * (1 + 0.2 * math.sin(t_s)),
        "lateness_p99_ms": 0.4 + t_s / 200,
        "cpu_ratio": min(0.05 + asked / 2000, 1.0),
    }


def baseline() -> BaselineFinding:
    """Twelve earlier runs and one that is worse than they were."""
    names = ("p50(latency_ms)", "p95(latency_ms)", "p99(latency_ms)")
    history = tuple(
        PastRun(
            f"bb{index:014d}",
            ago(86_400.0 * (14 - index)),
            "baseline" if index < 12 else "candidate",
            {name: level * (1 + 0.1 * (index % 3)) for name, level in zip(names, (14.0, 71.0, 350.0), strict=True)},
        )
        for index in range(13)
    )
    metrics = tuple(
        BaselineMetric(name, state, value, before, value / before - 1, 0.02, 0.3, 0.001, 0.05, 0.11, 9, 12)
        for name, state, value, before in (
            (names[0], BaselineState.NO_CHANGE, 14.2, 14.1),
            (names[1], BaselineState.NO_CHANGE, 71.0, 69.8),
            (names[2], BaselineState.REGRESSION, 421.0, 366.0),
        )
    )
    reason = (
        "worse than the last 12 passed runs: p99(latency_ms) 421 against 366, +15.0 % (95 % interval +2.0 to +30.0 %)"
    )
    return BaselineFinding(BaselineState.REGRESSION, reason, False, 12, 1, metrics, history)


def all_runs() -> list[RunFacts]:
    passed = verdict(RunStatus.PASSED, "both thresholds held; one replica carries 48 requests/s")
    failed = verdict(RunStatus.FAILED, "p99(latency_ms) < 300 did not hold: 421 ms was measured", p99=421.0)
    failed = replace(failed, error_kinds=(ErrorKind("HTTP 500", 222), ErrorKind(f"refused: {HOSTILE}", 3)))
    failed = replace(failed, baseline=baseline())
    unclear = verdict(
        RunStatus.INCONCLUSIVE, "the load generator was saturated: 61 % of the asked rate was sent", saturated=True
    )
    passed = replace(
        passed,
        capacity=replace(capacity(), scaling=SCALING),
        tokens=TokenSummary(14_000, 90_210, 646.2, TOKEN_TIMES, TOKEN_TIMES, TokenTimes(8.0, None, 21.0, 99.0), 76_210),
        goodput=Goodput(("p99(latency_ms) < 300",), 13_900, 0.978, 46.9),
        answers=AnswerCheck(120, 3),
        notes=("12 requests were held back to keep max_rps of targets.allow", f"refused: {HOSTILE}"),
    )
    return [
        run("aa00000000000001", RunStatus.RUNNING, 62, trigger="api"),
        run(
            "aa00000000000002",
            RunStatus.QUEUED,
            5,
            trigger="api",
            waiting="waiting for run aa00000000000001 of churn-nightly against the same target",
            waiting_run="aa00000000000001",
        ),
        run("bb00000000000001", RunStatus.PASSED, 41_400, passed),
        run("bb00000000000002", RunStatus.FAILED, 127_800, failed),
        run("bb00000000000003", RunStatus.INCONCLUSIVE, 214_200, unclear),
        run("bb00000000000004", RunStatus.ABORTED, 300_600, reason="stopped before its end"),
        run(
            "bb00000000000005",
            RunStatus.ABORTED,
            387_000,
            document={**DOCUMENT, "retries": 2},
            reason="the worker that ran it (node-7, process 4120) went away: stopped, killed or cut off",
            trigger="retry",
            attempt=2,
            retry_of="bb00000000000006",
            retried_as="bb00000000000004",
        ),
    ]


def tokens() -> tuple[TokenStep, ...]:
    """An hour of two generative models: one told in full and named to hurt, one of which little is known."""
    named, bare = {"gen_ai_model": "</script><b>m</b>"}, {"gen_ai_model": ""}
    return (
        TokenStep(AT, named, 1200, 480_000, 96_000, 133.3, 26.7, 310.0, 620.0, 1100.0),
        TokenStep(AT, bare, 3, None, 40, None, 0.011, None, None, None),
    )


class SampleSource:
    """A page source over these facts. `scene` picks them: full, hostile, empty, failing."""

    def __init__(self, scene: str = "full") -> None:
        self.scene = scene

    def overviews(self, at: datetime) -> Sequence[ModelOverview]:
        if self.scene == "failing":
            raise StoreUnavailable("the lake cannot be read: the disk is full")
        return {"full": all_models, "hostile": hostile_models}.get(self.scene, list)()

    def model(self, name: str, at: datetime) -> ModelFacts:
        seen = next((m for m in self.overviews(at) if m.model == name), None)
        if seen is None:
            raise NotFound(
                f"there is no model {name[:100]!r}: nothing was received from it and seamark.yaml does not name it"
            )
        versions = ("</script><b>v</b>", "2") if self.scene == "hostile" else ("2026.02.7", "2026.03.1")
        points = [] if seen.liveness == "unknown" else latency(versions)
        checked = [] if seen.liveness == "unknown" else quality()
        manifests = {"keda": MANIFEST, "hpa": MANIFEST} if seen.recommendation else {}
        generative = self.scene == "hostile" or name == "search-ranker"
        return ModelFacts(
            seen,
            points,
            60.0,
            checked,
            manifests,
            tokens() if generative else (),
            drift_history(name, seen.drift, self.scene) if seen.drift else (),
            performance_history(name) if seen.performance else (),
        )

    def feature(
        self, model: str, feature: str, version: str | None, end: datetime, span_s: float | None, at: datetime
    ) -> Explained:
        if self.scene == "failing":
            raise StoreUnavailable("the lake cannot be read: the disk is full")
        return explained(model, feature, version, Window.trailing(end, span_s or 3600.0))

    def headroom(self, model: str, window: Window, at: datetime) -> Headroom:
        self.model(model, at)  # which is known, or refuses
        return sample_headroom(self.scene, model, window, at)

    def plans(self, at: datetime) -> Sequence[PlanFacts]:
        if self.scene == "empty":
            return []
        name = HOSTILE if self.scene == "hostile" else "churn-nightly"
        broken = {
            **DOCUMENT,
            "model": "pricing",
            "target": "http://10.0.0.9/predict",
            "shape": {"stages": [{"rate_rps": 10, "duration_s": 30}]},
            "schedule": None,
        }
        return [
            PlanFacts(name, DOCUMENT, "config", None, AT + timedelta(hours=12.5), all_runs(), MISSED),
            PlanFacts("pricing-smoke", broken, "api", "target: 'http://10.0.0.9' is not on targets.allow", None, []),
        ]

    def runs(self) -> Sequence[RunFacts]:
        return [] if self.scene == "empty" else all_runs()

    def run(self, run_id: str) -> tuple[RunFacts, list[dict[str, Any]]]:
        found = next((r for r in self.runs() if r.id == run_id), None)
        if found is None:
            raise NotFound(f"there is no run {run_id[:64]!r}")
        lines = 140 if found.status.final else 60 if found.status == RunStatus.RUNNING else 0
        return found, [progress_line(t) for t in range(lines)]

    def alerts(self) -> Sequence[Alert]:
        if self.scene == "empty":
            return []
        name = HOSTILE if self.scene == "hostile" else "churn"
        return [
            alert(name, AlertStatus.FIRING),
            alert("search-ranker", AlertStatus.FIRING, "SeamarkSloBurnRate", "page", 130),
            alert("fraud-score", AlertStatus.PENDING, "SeamarkSloBurnRate", "ticket", 40),
            alert("pricing", AlertStatus.RESOLVED, "SeamarkSloBurnRate", "page", 5000),
        ]

    def requests(self, asked: Search, limit: int) -> Sequence[Mapping[str, Any]]:
        return sample_requests(self.scene, asked, limit)

    def trace(self, trace_id: bytes, window: Window | None, model: str | None) -> Trace:
        return sample_trace(self.scene, trace_id)
