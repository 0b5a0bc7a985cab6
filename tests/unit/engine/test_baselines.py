"""Runs of a plan, one after the other -> each is held against those before it, in the catalog and in every report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pyarrow as pa
import pytest

from seamark.core.baseline import BaselineState
from seamark.core.findings import Capacity, RunStatus, to_document
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.engine import loadtests
from seamark.engine.services import Services
from seamark.runner.order import LoadOrder, RunnerOutcome, SegmentRun
from seamark.store.catalog.runs import RunRecord
from seamark.store.catalog.tables import runs as runs_table

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUESTS = 1200
CONFIG = "models: [{name: m}]\ntargets: {allow: ['http://127.0.0.1:9']}\n"
PLAN: dict[str, Any] = {
    "model": "m",
    "target": "http://127.0.0.1:9/predict",
    "payload": {"rows": [{"x": 1}]},
    "shape": {"constant": {"rate_rps": 120, "duration_s": 10}},
    "thresholds": ["p95(latency_ms) < 100", "error_ratio < 0.05"],
}
NAMES = ["p50(latency_ms)", "p95(latency_ms)", "p99(latency_ms)", "error_ratio"]


class Target:
    """What Locust would have measured: latencies that are `slower` by a factor, `failing` of them errors.

    In a search `carries` requests/s hold and a tenth more do not.
    """

    def __init__(self) -> None:
        self.slower, self.failing, self.seed, self.carries = 1.0, 0, 0, 100.0
        self.aborted: str | None = None

    def run(self, order: LoadOrder, **_: object) -> RunnerOutcome:
        self.seed += 1
        if order.plan.shape.kind == "capacity":
            rates = (self.carries, 1.1 * self.carries)
            segments = tuple(SegmentRun(i, rate, 10.0 * i, 10.0) for i, rate in enumerate(rates))
        else:
            segments = (SegmentRun(0, REQUESTS / 10, 0.0, 10.0),)
        due_s = np.concatenate([s.start_s + np.arange(0, 10, 1 / s.asked_rps) for s in segments])
        segment = (due_s // 10).astype(np.int32)
        rng, rows = np.random.default_rng(self.seed), len(due_s)
        latency_ms = 20 * np.exp(0.1 * rng.standard_normal(rows)) * self.slower * np.where(segment, 10, 1)
        columns = {
            "run_id": [order.run_id] * rows,
            "segment": segment,
            "due_s": due_s,
            "sent_s": due_s,
            "latency_ms": latency_ms,
            "service_latency_ms": latency_ms,
            "http_status": np.full(rows, 200),
            "ok": np.arange(rows) >= self.failing,
            "error": pa.nulls(rows),
            **{name: pa.nulls(rows) for name in ANSWER_DETAILS},
        }
        table = pa.table({name: columns[name] for name in LOAD_SAMPLES.names}).cast(LOAD_SAMPLES)
        return RunnerOutcome(table, segments, aborted=self.aborted)


@pytest.fixture
def services(shared: tuple[Services, httpx.Client]) -> Services:
    return shared[0]


@pytest.fixture
def client(shared: tuple[Services, httpx.Client]) -> httpx.Client:
    return shared[1]


@pytest.fixture
def target(services: Services, monkeypatch: pytest.MonkeyPatch) -> Target:
    made = Target()
    monkeypatch.setattr("seamark.engine.loadtests.locust.run", made.run)
    services.configuration.apply(CONFIG, AT)
    return made


@pytest.fixture
def go(services: Services, target: Target, request: pytest.FixtureRequest) -> Callable[..., RunRecord]:
    """Put the test's plan with these changes and carry out one run of it, a minute after the one before."""
    name, made = request.node.name[:60], 0

    def once(**changes: object) -> RunRecord:
        nonlocal made
        made += 1
        at = AT + timedelta(minutes=made)
        services.configuration.put_plan(name, {**PLAN, **changes}, at)
        run = loadtests.enqueue(services, name, at)
        assert loadtests.work(services, at, lambda: False)
        return services.catalog.runs.get(run.id)

    return once


@pytest.mark.slow
def test_each_run_is_held_against_the_passed_ones_before_it(
    client: httpx.Client, target: Target, go: Callable[..., RunRecord]
) -> None:
    for earlier in range(5):
        verdict = go().verdict
        assert verdict and verdict.baseline and verdict.baseline.state == BaselineState.TOO_FEW_RUNS
        assert verdict.baseline.reason.startswith(
            f"{earlier} earlier run{'' if earlier == 1 else 's'} of the same plan passed; 5 are"
        )
    calm = go()
    assert calm.verdict and calm.verdict.baseline and calm.verdict.baseline.state == BaselineState.NO_CHANGE

    target.slower = 1.3
    told = go()
    assert told.status == RunStatus.PASSED, "by default a regression is told and does not fail the run"
    document = client.get(f"/api/v1/runs/{told.id}").json()["baseline"]
    assert (document["state"], document["fails"], document["runs"]) == ("regression", False, 6)
    p95 = document["metrics"][1]
    assert p95["metric"] == "p95(latency_ms)" and p95["low"] < p95["change"] < p95["high"] and p95["p_value"] < 0.005
    assert [one["role"] for one in document["history"]] == ["baseline"] * 6 + ["candidate"]
    assert [one["run_id"] for one in document["history"]][-1] == told.id
    assert set(document["sampling_errors"]) == set(NAMES[:3]) and len(document["parts"]) == 8


@pytest.mark.slow
def test_a_regression_fails_the_run_where_the_plan_says_so_and_does_not_become_the_baseline(
    client: httpx.Client, target: Target, go: Callable[..., RunRecord]
) -> None:
    fails = {"baseline": {"fail_on": "regression"}}
    for _ in range(6):
        assert go(**fails).status == RunStatus.PASSED
    target.slower = 1.3
    for _ in range(3):
        failed = go(**fails)
        assert failed.status == RunStatus.FAILED and failed.reason.startswith("worse than the last 6 passed runs: p50")
        assert failed.verdict and all(result.passed for result in failed.verdict.thresholds)
    suite = ET.fromstring(client.get(f"/api/v1/runs/{failed.id}/junit.xml").text)[0]
    cases = {case.get("name"): case for case in suite}
    assert [name for name in cases if "baseline" in str(name)] == [f"baseline: {name}" for name in NAMES]
    failure = cases["baseline: p95(latency_ms)"].find("failure")
    assert failure is not None and "regression" in str(failure.get("message"))
    assert cases["baseline: error_ratio"].find("failure") is None
    assert {case.get("classname") for case in suite.iter("testcase")} == {f"seamark.{failed.plan}"}
    assert suite.get("failures") == str(sum(case.find("failure") is not None for case in suite)) == "4"

    accepted = go(baseline={"fail_on": "regression", "since": AT.isoformat()})
    assert accepted.status == RunStatus.FAILED, "the old runs are no older than that"
    late = {"baseline": {"fail_on": "regression", "since": (AT + timedelta(days=1)).isoformat()}}
    assert go(**late).status == RunStatus.PASSED, "nothing is left to compare with"


@pytest.mark.slow
def test_what_is_told_without_failing_is_skipped_in_junit_and_stands_in_every_report(
    client: httpx.Client, target: Target, go: Callable[..., RunRecord]
) -> None:
    first = go()
    suite = ET.fromstring(client.get(f"/api/v1/runs/{first.id}/junit.xml").text)[0]
    skipped = [case.get("name") for case in suite if case.find("skipped") is not None]
    assert skipped == [f"baseline: {name}" for name in NAMES] and suite.get("skipped") == "4"
    assert "5 are needed" in client.get(f"/runs/{first.id}").text
    for _ in range(5):
        go()
    target.slower, target.failing = 1.3, 30
    told = go()
    assert told.verdict and told.verdict.baseline
    suite = ET.fromstring(client.get(f"/api/v1/runs/{told.id}/junit.xml").text)[0]
    assert suite.get("failures") == "0" and suite.get("skipped") == "4"
    markdown = client.get(f"/api/v1/runs/{told.id}/report.md").text
    assert "**Beside earlier runs**: worse than the last 6 passed runs" in markdown
    assert "| error\\_ratio | 2.5 % | 0 % | +2.50 points |" in markdown
    page, report = client.get(f"/runs/{told.id}").text, client.get(f"/api/v1/runs/{told.id}/report.html").text
    for text in (page, report):
        assert "Beside earlier runs" in text and "worse than the last 6 passed runs" in text
        assert "p95(latency_ms)" in text
    assert "circle-open" in page
    assert "The figures of the last 7 runs of the plan, oldest first." in report


@pytest.mark.slow
def test_a_lower_capacity_fails_the_run_and_is_still_what_replicas_are_advised_by(
    services: Services, target: Target, go: Callable[..., RunRecord]
) -> None:
    search = {
        "shape": {"capacity": {"start_rps": 10, "stop_rps": 400, "step_s": 10}},
        "baseline": {"fail_on": "regression"},
    }
    for step in range(6):
        target.carries = 100.0 + step
        assert go(**search).status == RunStatus.PASSED
    target.carries = 60.0
    lower = go(**search)
    assert lower.verdict and lower.verdict.baseline and lower.verdict.capacity
    assert lower.status == RunStatus.FAILED
    assert f"capacity_rps {lower.verdict.capacity.rps:.4g} against" in lower.reason
    assert [metric.metric for metric in lower.verdict.baseline.metrics] == ["capacity_rps"]
    known = services.catalog.findings.latest("m", "capacity", Capacity)
    assert known and (known.run_id, known.finding) == (lower.id, lower.verdict.capacity)
    assert 60 <= known.finding.rps <= 66


@pytest.mark.slow
def test_another_shape_is_not_compared_and_another_threshold_is(go: Callable[..., RunRecord]) -> None:
    for _ in range(6):
        go()
    other = go(shape={"constant": {"rate_rps": 121, "duration_s": 10}}).verdict
    assert other and other.baseline and other.baseline.state == BaselineState.NOT_COMPARABLE
    assert other.baseline.changed == ("shape",) and other.status == RunStatus.PASSED
    back = go(thresholds=["p95(latency_ms) < 90"]).verdict
    assert back and back.baseline and (back.baseline.state, back.baseline.runs) == (BaselineState.NO_CHANGE, 6)


@pytest.mark.slow
def test_a_run_that_says_nothing_is_not_compared(target: Target, go: Callable[..., RunRecord]) -> None:
    for _ in range(6):
        go()
    target.aborted, target.slower = "stopped", 3.0
    aborted = go(baseline={"fail_on": "regression"})
    assert aborted.status == RunStatus.ABORTED and aborted.verdict and aborted.verdict.baseline is None
    target.aborted, target.slower = None, 1.0
    after = go().verdict
    assert after and after.baseline and after.baseline.state == BaselineState.NO_CHANGE and after.baseline.runs == 6


@pytest.mark.slow
def test_runs_stored_before_comparisons_are_a_baseline_too(services: Services, go: Callable[..., RunRecord]) -> None:
    [*_, plan] = (go().plan for _ in range(7))
    with services.catalog.database.begin() as connection:
        for run in services.catalog.runs.recent(plan=plan):
            assert run.verdict
            old = to_document(replace(run.verdict, baseline=None))
            del old["baseline"]
            values = {"verdict": None if run.created_at == AT + timedelta(minutes=1) else old}
            connection.execute(runs_table.update().where(runs_table.c.id == run.id).values(values))
    verdict = go().verdict
    assert verdict and verdict.baseline and verdict.baseline.state == BaselineState.NO_CHANGE
    assert verdict.baseline.runs == 6, "one has no verdict"
