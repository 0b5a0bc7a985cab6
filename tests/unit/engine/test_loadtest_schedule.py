"""Cron instants make one run each, late ones and those behind a waiting run are counted, across restarts and DST."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from seamark.app import known_names
from seamark.core.findings import RunStatus
from seamark.engine import loadtest_schedule
from seamark.engine.configuration import Configuration
from seamark.engine.exposition import metrics_text
from seamark.engine.services import Services
from seamark.store.catalog import Catalog
from seamark.store.catalog.database import Database

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
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


def end_all(services: Services, at: datetime) -> None:
    while run := services.catalog.runs.claim(at, at):
        services.catalog.runs.finish(run.id, at=at, status=RunStatus.PASSED, reason="")


def made(services: Services) -> list[datetime | None]:
    return [run.scheduled_for for run in reversed(services.catalog.runs.recent(limit=500))]


def missed(services: Services, plan: str = "hourly") -> tuple[int, datetime | None, str]:
    mark = services.catalog.schedule.of(plan)
    assert mark is not None
    return mark.missed, mark.missed_at, mark.missed_why


def minutes(start: datetime, count: int, step: int = 1) -> Iterator[datetime]:
    return (start + timedelta(minutes=number * step) for number in range(count))


@pytest.mark.slow
def test_each_instant_makes_one_run_however_often_it_is_looked_at(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    for at in minutes(AT - timedelta(minutes=1), 130):
        for _ in range(3):
            loadtest_schedule.tick(services, at)
        end_all(services, at)
    assert made(services) == [AT, AT + timedelta(hours=1), AT + timedelta(hours=2)]
    assert missed(services) == (0, None, "")
    assert {run.trigger for run in services.catalog.runs.recent()} == {"schedule"}


def test_after_an_outage_the_newest_instant_is_made_up_for_if_it_is_not_long_ago(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    loadtest_schedule.tick(services, AT - timedelta(seconds=1))
    loadtest_schedule.tick(services, AT + timedelta(hours=5, seconds=30))  # down from 12:00 to 17:00:30
    assert made(services) == [AT + timedelta(hours=5)]
    assert missed(services) == (5, AT + timedelta(hours=4), loadtest_schedule.WHY_LATE)
    end_all(services, AT)
    loadtest_schedule.tick(services, AT + timedelta(hours=8, minutes=40))
    assert made(services) == [AT + timedelta(hours=5)], "a nightly test does not begin in the morning"
    assert missed(services)[:2] == (8, AT + timedelta(hours=8))


@pytest.mark.slow
def test_runs_do_not_pile_up_behind_one_that_has_not_begun(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    for at in minutes(AT - timedelta(minutes=1), 240):
        loadtest_schedule.tick(services, at)
    assert made(services) == [AT]
    assert missed(services) == (3, AT + timedelta(hours=3), loadtest_schedule.WHY_QUEUED)
    assert services.catalog.schedule.all()["hourly"].seen_until == AT + timedelta(hours=3)
    text = metrics_text(services, None)[0].decode()
    assert 'seamark_loadtest_missed_total{test="hourly"} 3.0' in text


def test_instants_before_the_plan_was_there_are_none_of_its_own(services: Services) -> None:
    loadtest_schedule.tick(services, AT + timedelta(minutes=1))
    services.configuration.apply(CONFIG, AT + timedelta(minutes=1))
    loadtest_schedule.tick(services, AT + timedelta(minutes=2))
    assert made(services) == [] and missed(services)[0] == 0


def test_a_changed_line_begins_anew_and_a_plan_that_is_gone_is_forgotten(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    loadtest_schedule.tick(services, AT - timedelta(hours=3))
    services.configuration.apply(CONFIG.replace("0 * * * *", "30 * * * *"), AT)
    loadtest_schedule.tick(services, AT + timedelta(minutes=31))
    assert made(services) == [] and missed(services)[0] == 0
    loadtest_schedule.tick(services, AT + timedelta(minutes=90))
    assert made(services) == [AT + timedelta(minutes=90)]
    services.configuration.apply("models: [{name: m}]", AT)
    loadtest_schedule.tick(services, AT + timedelta(minutes=91))
    assert services.catalog.schedule.all() == {}


def test_the_look_back_is_bounded(services: Services) -> None:
    services.configuration.apply(CONFIG.replace("0 * * * *", "* * * * *"), AT)
    loadtest_schedule.tick(services, AT)
    loadtest_schedule.tick(services, AT + timedelta(days=400))
    days = loadtest_schedule.LOOK_BACK_S / 86_400
    assert missed(services)[0] == days * 1440 - 1


@pytest.mark.slow
def test_many_workers_that_look_at_once_make_one_run_of_each_instant(services: Services) -> None:
    services.configuration.apply(CONFIG, AT)
    url = services.catalog.database.url.render_as_string(hide_password=False)
    catalogs = [Catalog(Database(url)) for _ in range(4)]
    workers = [
        replace(services, catalog=catalog, configuration=Configuration(catalog, known_names())) for catalog in catalogs
    ]
    with ThreadPoolExecutor(len(workers)) as pool:
        for at in minutes(AT - timedelta(minutes=30), 30, 30):
            gate = Barrier(len(workers))
            list(pool.map(lambda one, at=at, gate=gate: (gate.wait(), loadtest_schedule.tick(one, at)), workers))  # type: ignore[misc]
            claims = list(pool.map(lambda one, at=at: one.catalog.runs.claim(at, at), workers))  # type: ignore[misc]
            assert sum(claim is not None for claim in claims) == (at.minute == 0)
            end_all(services, at)
            for run in services.catalog.runs.running():
                services.catalog.runs.finish(run.id, at=at, status=RunStatus.PASSED, reason="")
    assert made(services) == [AT + timedelta(hours=hour) for hour in range(15)]
    assert missed(services)[0] == 0
    for catalog in catalogs:
        catalog.close()


# Europe/Berlin: on 2026-03-29 the clocks skip 02:00-03:00, on 2026-10-25 they repeat 02:00-03:00.
@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),  # skipped: at their change
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),  # repeated: the first time
        (
            "0 2,3 * * *",
            "2026-10-24T12:00",
            ["2026-10-25T00:00", "2026-10-25T02:00", "2026-10-26T01:00", "2026-10-26T02:00"],
        ),
        ("0 3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T01:00"]),
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize("step", [5, 7])
def test_a_local_time_that_is_skipped_or_repeated_makes_one_run(
    services: Services, cron: str, start: str, expected: list[str], step: int
) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    services.configuration.apply(CONFIG.replace("0 * * * *", cron), begin)
    for at in minutes(begin, 2 * 1440 // step, step):
        loadtest_schedule.tick(services, at)
        end_all(services, at)
    wanted = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in expected]
    assert [at for at in made(services) if at not in wanted] == []
    assert step > loadtest_schedule.LATE_MAX_S / 60 or made(services) == wanted
    assert len(made(services)) + missed(services)[0] == len(wanted)


def test_an_hourly_line_goes_by_elapsed_time_when_the_clocks_change(services: Services) -> None:
    begin = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    services.configuration.apply(CONFIG, begin)
    plan = services.configuration.plan("hourly")
    found = loadtest_schedule.due_instants(plan, begin, begin + timedelta(hours=4))
    assert found == [begin + timedelta(minutes=30 + 60 * hour) for hour in range(4)]


def test_a_cron_line_is_read_in_its_own_time_zone(services: Services) -> None:
    services.configuration.apply(CONFIG.replace("0 * * * *", "30 2 * * *"), AT)
    plan = services.configuration.plan("hourly")
    assert loadtest_schedule.next_instant(plan, AT) == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert loadtest_schedule.next_instant(replace(plan, schedule=None), AT) is None
