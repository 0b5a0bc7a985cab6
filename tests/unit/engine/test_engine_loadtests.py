"""Plans are held against the allow-list of now, nothing to replay is inconclusive, and who waits is told for what."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from tests.house import House
from tests.lake_rows import rows_of

from seamark.core.errors import Conflict, Invalid, NotFound, SeamarkError, StoreUnavailable
from seamark.core.findings import RunStatus
from seamark.core.records import LOAD_SAMPLES, FeatureSchema
from seamark.engine import loadtests, payloads
from seamark.engine.services import Services
from seamark.runner.order import RunnerOutcome, SegmentRun
from seamark.store.catalog.runs import RunRecord

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = {
    "model": "m",
    "target": "http://127.0.0.1:9/predict",
    "payload": {"replay": "1h"},
    "shape": {"constant": {"rate_rps": 10, "duration_s": 1}},
}
CONFIG = """
models: [{name: m}]
targets: {allow: ["http://127.0.0.1:9"]}
loadtests:
  - name: hourly
    model: m
    target: http://127.0.0.1:9/predict
    payload: {rows: [{x: 1}]}
    shape: {constant: {rate_rps: 10, duration_s: 1}}
    schedule: "0 * * * *"
    timezone: Europe/Berlin
"""


def test_a_run_that_lost_its_lease_is_told_to_stop_and_ends_nothing(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    run = loadtests.enqueue(services, "hourly", AT)
    assert services.catalog.runs.claim(AT, AT)
    assert services.catalog.runs.expire(AT + timedelta(minutes=1)) == 1
    assert services.catalog.runs.renew(run.id, AT + timedelta(minutes=2)) is True
    assert not services.catalog.runs.finish(run.id, at=AT, status=RunStatus.PASSED, reason="late")
    assert services.catalog.runs.get(run.id).status == RunStatus.ABORTED


def test_who_waits_for_a_run_is_given_the_one_that_makes_it_again(house: House) -> None:
    services, runs = house.services, house.services.catalog.runs
    services.configuration.apply(CONFIG + "    retries: 1\n", AT)
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(house.client.post, "/api/v1/loadtests/hourly/runs", params={"wait": 3600})
        lost = claimed(services)
        assert runs.finish(lost.id, at=AT, status=RunStatus.ABORTED, reason="the worker went away", again=True)
        again = claimed(services)
        assert runs.finish(again.id, at=AT, status=RunStatus.PASSED, reason="all thresholds hold")
        told = answer.result()
    assert (told.status_code, told.json()["id"], told.json()["retry_of"]) == (200, again.id, lost.id)
    assert told.json()["status"] == "passed" and told.headers["location"] == f"/api/v1/runs/{again.id}"


def claimed(services: Services) -> RunRecord:
    """Return the run that waits, as soon as one does."""
    for _ in range(1_000):
        found = services.catalog.runs.claim(AT, AT + timedelta(hours=9))
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("no run was asked for")


def test_a_target_that_is_no_longer_allowed_is_not_sent_anything(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    run = loadtests.enqueue(services, "hourly", AT)
    services.configuration.apply("models: [{name: m}]\ntargets: {allow: []}\n", AT)
    assert loadtests.work(services, AT, lambda: False)
    ended = services.catalog.runs.get(run.id)
    assert ended.status == RunStatus.INCONCLUSIVE
    assert "allow" in ended.reason


def test_nothing_to_replay_is_inconclusive(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    services.configuration.put_plan("replayed", PLAN, AT)
    run = loadtests.enqueue(services, "replayed", AT)
    assert loadtests.work(services, AT, lambda: False)
    ended = services.catalog.runs.get(run.id)
    assert (ended.status, "nothing to replay" in ended.reason) == (RunStatus.INCONCLUSIVE, True)
    assert not loadtests.work(services, AT, lambda: False)


def test_plans_of_the_file_and_of_the_api_do_not_overwrite_each_other(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    with pytest.raises(Conflict, match=r"seamark\.yaml"):
        services.configuration.put_plan("hourly", PLAN, AT)
    with pytest.raises(Conflict, match=r"seamark\.yaml"):
        services.configuration.delete_plan("hourly")
    with pytest.raises(NotFound):
        services.configuration.delete_plan("nowhere")
    with pytest.raises(SeamarkError, match="allow"):
        services.configuration.put_plan("elsewhere", {**PLAN, "target": "http://192.0.2.1/"}, AT)
    services.configuration.put_plan("own", PLAN, AT)
    assert list(services.configuration.plans()) == ["hourly", "own"]
    services.configuration.apply("models: [{name: m}]", AT)
    view = services.configuration.plan_view("own")
    assert view.plan is None
    assert "allow" in (view.problem or "")


def test_applying_says_what_changes(services: Services) -> None:
    first = services.configuration.apply(CONFIG, AT)
    assert first == ["+ model m", "+ load test hourly", "+ allowed target http://127.0.0.1:9"]
    changed = CONFIG.replace("rate_rps: 10", "rate_rps: 20")
    assert services.configuration.apply(changed, AT, dry_run=True) == ["~ load test hourly"]
    assert services.configuration.plan("hourly").shape.params["rate_rps"] == 10
    assert services.configuration.apply("models: []", AT) == [
        "- model m",
        "- load test hourly",
        "- allowed target http://127.0.0.1:9",
    ]


def test_recorded_arrivals_are_taken_from_the_predictions_of_the_stretch(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    came = [AT - timedelta(minutes=30), AT - timedelta(minutes=20), AT - timedelta(hours=2)]
    rows = [{"model": "m", "prediction_id": f"p{i}", "at": at} for i, at in enumerate(came)]
    services.lake.append({"predictions": rows_of("predictions", [*rows, {**rows[0]}])})
    services.configuration.put_plan("again", {**PLAN, "shape": {"replay": {"last": "1h", "speed": 2}}}, AT)
    plan = payloads.arrivals_of(services, services.configuration.plan("again"), AT)
    assert plan.shape.params["instants_s"] == [1800.0, 2400.0]
    nothing = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
    services.configuration.put_plan("again", {**PLAN, "shape": {"replay": nothing}}, AT)
    with pytest.raises(Invalid, match="nothing to replay"):
        payloads.arrivals_of(services, services.configuration.plan("again"), AT)


def test_a_queued_run_is_told_what_it_waits_for(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    first, second, third = (loadtests.enqueue(services, "hourly", AT + timedelta(seconds=s)) for s in range(3))
    runs = services.catalog.runs

    def told(run_id: str) -> str:
        waiting = loadtests.waiting_for(services, runs.get(run_id))
        return waiting.reason if waiting else ""

    assert told(first.id) == "waiting for a worker to take it"
    assert runs.claim(AT, AT + timedelta(hours=1))
    assert told(first.id) == ""
    assert told(second.id) == f"waiting for run {first.id} of hourly against the same target"
    assert told(third.id).endswith("against the same target, behind 1 that were asked for before")
    elsewhere = services.catalog.runs.create(
        replace(services.configuration.plan("hourly"), name="other", target="http://127.0.0.1:8/x"),
        trigger="api",
        at=AT,
    )
    assert elsewhere and told(elsewhere.id) == f"waiting for a worker: run {first.id} of hourly is under way"


def test_a_lake_that_is_away_for_a_moment_costs_no_verdict(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.configuration.apply(CONFIG, AT)
    tries: list[int] = []

    def away(*_: object) -> None:
        tries.append(1)
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(type(services.lake), "append", away)
    samples = pa.Table.from_pylist(
        [
            {"run_id": "r", "segment": 0, "due_s": i / 10, "sent_s": i / 10, "latency_ms": 5.0, "ok": True}
            for i in range(10)
        ],
        schema=LOAD_SAMPLES,
    )
    outcome = RunnerOutcome(samples, (SegmentRun(0, 10.0, 0.0, 1.0),), notes=("of the generator",))
    run = loadtests.enqueue(services, "hourly", AT)
    assert services.catalog.runs.claim(AT, AT + timedelta(hours=1))
    loadtests._conclude(services, run, services.configuration.plan("hourly"), outcome, None)
    ended = services.catalog.runs.get(run.id)
    assert ended.status == RunStatus.PASSED and ended.verdict is not None and len(tries) == loadtests.KEEP_TRIES
    assert ended.verdict.notes[0] == "of the generator" and "could not be stored" in ended.verdict.notes[1]


def test_recorded_rows_beyond_what_is_read_are_told_of(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.configuration.apply(CONFIG, AT)
    schema = FeatureSchema(("x",), ())
    services.catalog.schemas.remember([("m", schema)])
    same = {"model": "m", "schema_id": schema.schema_id, "categorical": [], "numeric": [1.0]}
    rows = [{**same, "prediction_id": f"p{i}", "at": AT - timedelta(minutes=30 - i)} for i in range(6)]
    services.lake.append({"predictions": rows_of("predictions", rows)})
    services.configuration.put_plan("again", {**PLAN, "shape": {"replay": {"last": "1h", "speed": 2}}}, AT)
    plan = payloads.arrivals_of(services, services.configuration.plan("again"), AT)
    assert payloads.rows_of(services, plan, AT).notes == ()
    monkeypatch.setattr(payloads, "TIMED_ROWS_MAX", 4)
    found = payloads.rows_of(services, plan, AT)
    assert len(found.bodies) == 4 and "of 6 recorded arrivals the first 4" in found.notes[0]
