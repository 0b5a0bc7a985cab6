"""Cron instants make runs once, plans are held against the allow-list of now, and nothing to replay is inconclusive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.lake_rows import rows_of

from seamark.core.errors import Conflict, Invalid, NotFound, SeamarkError
from seamark.core.findings import RunStatus
from seamark.engine import loadtests, payloads
from seamark.engine.services import Services

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


def test_each_cron_instant_makes_one_run_and_a_late_look_only_the_newest(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    schedule = loadtests.Schedule(AT - timedelta(seconds=1))
    for at in (AT, AT + timedelta(seconds=1), AT + timedelta(minutes=59), AT + timedelta(hours=5, seconds=30)):
        schedule.tick(services, at)
        run = services.catalog.runs.claim(at, at)
        if run:
            services.catalog.runs.finish(run.id, at=at, status=RunStatus.PASSED, reason="")
    runs = services.catalog.runs.recent(plan="hourly")
    assert [run.scheduled_for for run in reversed(runs)] == [AT, AT + timedelta(hours=5)]
    assert {run.trigger for run in runs} == {"schedule"}


def test_runs_do_not_pile_up_behind_one_that_has_not_begun(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    schedule = loadtests.Schedule(AT - timedelta(seconds=1))
    for hour in range(5):
        schedule.tick(services, AT + timedelta(hours=hour))
    assert len(services.catalog.runs.recent(plan="hourly")) == 1


def test_a_node_that_takes_the_lead_starts_from_there(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    schedule = loadtests.Schedule(AT - timedelta(hours=9))
    schedule.tick(services, AT + timedelta(minutes=1), leads=False)
    schedule.tick(services, AT + timedelta(minutes=2))
    assert services.catalog.runs.recent() == []


def test_a_run_that_lost_its_lease_is_told_to_stop_and_ends_nothing(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    run = loadtests.enqueue(services, "hourly", AT)
    assert services.catalog.runs.claim(AT, AT)
    assert services.catalog.runs.expire(AT + timedelta(minutes=1)) == 1
    assert services.catalog.runs.renew(run.id, AT + timedelta(minutes=2)) is True
    assert not services.catalog.runs.finish(run.id, at=AT, status=RunStatus.PASSED, reason="late")
    assert services.catalog.runs.get(run.id).status == RunStatus.ABORTED


def test_instants_before_the_plan_was_there_are_not_made_up_for(services: Services) -> None:
    schedule = loadtests.Schedule(AT - timedelta(hours=3))
    schedule.tick(services, AT + timedelta(minutes=1))
    services.configuration.apply(CONFIG, AT + timedelta(minutes=1))
    schedule.tick(services, AT + timedelta(minutes=2))
    assert services.catalog.runs.recent() == []


def test_a_cron_line_is_read_in_its_own_time_zone(services: Services) -> None:
    services.configuration.apply(CONFIG.replace("0 * * * *", "30 2 * * *"), AT)
    plan = services.configuration.plan("hourly")
    assert loadtests.next_instant(plan, AT) == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert loadtests.next_instant(replace(plan, schedule=None), AT) is None


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
