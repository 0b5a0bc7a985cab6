"""The catalog on SQLite and on PostgreSQL: migrated as declared, one claim per run, state and message together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.lake_places import running_postgres

from seamark.core.day_rates import nothing
from seamark.core.errors import CatalogNewer, Conflict, NotFound, StoreUnavailable
from seamark.core.feature_types import FixedType, TypeClash
from seamark.core.findings import (
    Alert,
    AlertRule,
    AlertState,
    AlertStatus,
    Capacity,
    CapacityStep,
    LatencySummary,
    RunStatus,
    ThresholdResult,
    Verdict,
)
from seamark.core.records import FeatureSchema
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.core.windows import Window
from seamark.store.catalog import Catalog
from seamark.store.catalog.alerts import NewMessage
from seamark.store.catalog.database import Database, Leadership, _migrations
from seamark.store.catalog.keys import KeyRecord
from seamark.store.catalog.references import ReferenceSet
from seamark.store.catalog.runs import Runs
from seamark.store.catalog.schedule import Missed, ScheduleMarks
from seamark.store.catalog.tables import metadata, reference_sets

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIGURES = LatencySummary(1.0, 2.0, 3.0, 4.0)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with running_postgres() as server:
        yield server.take_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        opened = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    else:
        opened = Database(request.getfixturevalue("postgres_url"))
        with opened.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    yield opened
    opened.close()


@pytest.fixture
def catalog(database: Database) -> Catalog:
    database.upgrade()
    return Catalog(database)


def plan(name: str = "smoke", target: str = "http://127.0.0.1:1/predict") -> LoadTestPlan:
    return LoadTestPlan(name, "m", target, PayloadSpec("rows"), ShapeSpec("constant", {}), document={"model": "m"})


def test_migrations_make_what_is_declared_and_may_run_again(database: Database) -> None:
    assert database.current_revision() is None
    before, after = database.upgrade()
    assert before is None
    assert database.upgrade() == (after, after)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_newer_catalog_is_refused_and_left_alone(database: Database) -> None:
    database.upgrade()
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogNewer, match="9999"):
        database.upgrade()
    assert database.current_revision() == "9999"


def test_a_run_is_claimed_once_and_one_runs_per_target(catalog: Catalog) -> None:
    lease = AT + timedelta(seconds=30)
    first = catalog.runs.create(plan("a"), trigger="api", at=AT)
    catalog.runs.create(plan("b"), trigger="api", at=AT + timedelta(seconds=1))
    elsewhere = catalog.runs.create(plan("c", "http://127.0.0.1:2/x"), trigger="api", at=AT + timedelta(seconds=2))
    assert first and elsewhere
    claims: list[object] = []
    workers = [threading.Thread(target=lambda: claims.append(catalog.runs.claim(AT, lease))) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    taken = sorted(claim.id for claim in claims if claim)  # type: ignore[attr-defined]
    assert set(taken) <= {first.id, elsewhere.id}
    assert len(taken) == len(set(taken)) >= 1


def test_a_cron_instant_makes_one_run(catalog: Catalog) -> None:
    assert catalog.runs.create(plan(), trigger="schedule", at=AT, scheduled_for=AT)
    assert catalog.runs.create(plan(), trigger="schedule", at=AT, scheduled_for=AT) is None
    assert len(catalog.runs.recent(plan="smoke")) == 1


def test_a_verdict_comes_back_as_it_went_in(catalog: Catalog) -> None:
    steps = (CapacityStep(10.0, 9.9, 100, 0.0, FIGURES, True, "held"),)
    capacity = Capacity(9.9, 9.9, None, "stop_rps", steps, True)
    thresholds = (ThresholdResult("p95(latency_ms) < 9", 2.0, True),)
    verdict = Verdict(RunStatus.PASSED, "ok", 100, 0, 10.0, 9.9, FIGURES, FIGURES, FIGURES, thresholds, capacity)
    run = catalog.runs.create(plan(), trigger="api", at=AT)
    assert run
    claimed = catalog.runs.claim(AT, AT)
    assert claimed and claimed.status == RunStatus.RUNNING
    catalog.runs.add_progress(run.id, 0, {"t_s": 1.0})
    catalog.runs.finish(run.id, at=AT, status=verdict.status, reason=verdict.reason, verdict=verdict)
    ended = catalog.runs.get(run.id)
    assert (ended.verdict, ended.ended_at, ended.status) == (verdict, AT, RunStatus.PASSED)
    assert catalog.runs.progress(run.id) == [(0, {"t_s": 1.0})]
    assert [r.id for r in catalog.runs.last_per_plan()] == [run.id]
    catalog.findings.put("m", "capacity", AT, capacity, run_id=run.id)
    found = catalog.findings.latest("m", "capacity", Capacity)
    assert found and (found.finding, found.run_id, found.at) == (capacity, run.id, AT)


def test_old_findings_of_a_kind_are_thinned_to_one_in_ten_minutes(catalog: Catalog) -> None:
    for seconds in (0, 9.5, 10, 590, 600, 609, 1190, 1200, 1210):
        catalog.findings.put("m", "advice", AT + timedelta(seconds=seconds), seconds)
    catalog.findings.put("m", "other", AT + timedelta(seconds=30), 1.0)
    catalog.findings.thin(AT + timedelta(seconds=1200), "advice")
    left = [found.finding for found in catalog.findings.history("m", "advice", float)]
    assert [seconds for seconds in reversed(left) if seconds != 9.5] == [0, 600, 609, 1200, 1210]
    assert catalog.findings.latest("m", "other", float)
    catalog.findings.thin(AT + timedelta(seconds=1200), "advice")
    assert len(catalog.findings.history("m", "advice", float)) == len(left)


def test_of_a_long_run_the_last_hour_of_progress_is_kept(catalog: Catalog) -> None:
    run, other = (catalog.runs.create(plan(), trigger="api", at=AT) for _ in range(2))
    assert run and other
    catalog.runs.add_progress(other.id, 0, {"t_s": 0})
    for seq in (0, 60, 3599, 3600, 3601, 3660, 20_001):
        catalog.runs.add_progress(run.id, seq, {"t_s": seq})
    assert [seq for seq, _ in catalog.runs.progress(run.id)] == [3599, 3600, 3601, 3660, 20_001]
    catalog.runs.add_progress(run.id, 20_040, {"t_s": 1})
    assert catalog.runs.progress(run.id, 3600) == [(20_001, {"t_s": 20_001}), (20_040, {"t_s": 1})]
    assert [seq for seq, _ in catalog.runs.progress(other.id)] == [0], "another run's stays"


def test_earlier_runs_are_those_that_passed_or_failed_newest_first(catalog: Catalog) -> None:
    verdict = Verdict(RunStatus.PASSED, "ok", 100, 0, 10.0, 9.9, FIGURES, FIGURES, FIGURES, ())
    ends = (RunStatus.PASSED, RunStatus.ABORTED, RunStatus.FAILED, RunStatus.INCONCLUSIVE, RunStatus.PASSED)
    ids = []
    for minute, status in enumerate(ends):
        at = AT + timedelta(minutes=minute)
        run = catalog.runs.create(plan(), trigger="api", at=at)
        assert run and catalog.runs.claim(at, at)
        told = None if status == RunStatus.INCONCLUSIVE else replace(verdict, status=status)
        catalog.runs.finish(run.id, at=at, status=status, reason="", verdict=told)
        ids.append(run.id)
    catalog.runs.create(plan(), trigger="api", at=AT + timedelta(hours=1))  # still waits

    judged = catalog.runs.judged("smoke", since=None, limit=10)
    assert [(run.id, run.status) for run in judged] == [(ids[place], ends[place]) for place in (4, 2, 0)]
    assert judged[0].verdict == verdict and judged[0].ended_at == AT + timedelta(minutes=4)
    assert [run.id for run in catalog.runs.judged("smoke", since=AT + timedelta(minutes=2), limit=10)] == [
        ids[4],
        ids[2],
    ]
    assert [run.id for run in catalog.runs.judged("smoke", since=None, limit=1)] == [ids[4]]
    assert catalog.runs.judged("nothing", since=None, limit=10) == []
    assert catalog.runs.document(ids[0]) == plan().document and catalog.runs.document("nowhere") == {}


Found = TypeVar("Found")


def at_once(nodes: list[Catalog], call: Callable[[Catalog], Found]) -> list[Found]:
    """Call it for each node in threads that begin together; return what each returned."""
    gate = threading.Barrier(len(nodes))
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: (gate.wait(), call(node))[1], nodes))


def other_nodes(database: Database, count: int) -> Iterator[Catalog]:
    for _ in range(count):
        yield Catalog(Database(database.url.render_as_string(hide_password=False)))


def test_of_many_nodes_one_deals_with_a_cron_instant(catalog: Catalog, database: Database) -> None:
    nodes = list(other_nodes(database, 4))
    catalog.schedule.begin("smoke", "0 * * * * UTC", AT - timedelta(hours=3))
    for hour in range(8):
        due = AT + timedelta(hours=hour)
        mark = catalog.schedule.of("smoke")
        assert mark is not None
        missed = Missed(2, due - timedelta(hours=1), "late")
        move = partial(ScheduleMarks.move_on, mark=mark, to=due, missed=missed, plan=plan(), at=due)
        made = at_once(nodes * 2, lambda node, move=move: move(node.schedule))  # type: ignore[misc]
        assert sum(run is not None for run in made) == 1
    assert len(catalog.runs.recent(plan="smoke")) == 8
    mark = catalog.schedule.of("smoke")
    assert mark and (mark.missed, mark.seen_until, mark.missed_at) == (16, due, due - timedelta(hours=1))
    # A mark that was lost: the run's own row still says no.
    catalog.schedule.forget(["smoke"])
    at_once(nodes, lambda node: node.schedule.begin("smoke", "line", AT))
    mark = catalog.schedule.of("smoke")
    assert mark and catalog.schedule.move_on(mark, due, None, plan(), due) is None
    for node in nodes:
        node.close()


def test_of_many_nodes_one_takes_a_run_and_one_makes_it_again(catalog: Catalog, database: Database) -> None:
    nodes = list(other_nodes(database, 4))
    again = replace(plan(), document={"model": "m", "retries": 2})
    run = catalog.runs.create(again, trigger="schedule", at=AT, scheduled_for=AT)
    assert run
    chain = [run.id]
    for attempt in range(1, 4):
        at = AT + timedelta(minutes=attempt)
        claim = partial(Runs.claim, at=at, lease_until=at, worker=f"node {attempt}")
        claims = [found for found in at_once(nodes, lambda node, claim=claim: claim(node.runs)) if found]  # type: ignore[misc]
        assert [found.id for found in claims] == [chain[-1]]
        assert len(catalog.runs.running()) == 1
        expire = partial(Runs.expire, at=at + timedelta(seconds=1))
        assert sum(at_once(nodes, lambda node, expire=expire: expire(node.runs))) == 1  # type: ignore[misc]
        lost = catalog.runs.get(chain[-1])
        assert lost.status == RunStatus.ABORTED
        assert lost.reason == f"the worker that ran it (node {attempt}) went away: stopped, killed or cut off"
        if lost.retried_as is not None:
            chain.append(lost.retried_as)
    assert len(chain) == 3, "two retries, as the plan says, and no more"
    links = [catalog.runs.get(run_id) for run_id in chain]
    assert [(r.attempt, r.retry_of, r.trigger) for r in links] == [
        (1, None, "schedule"),
        (2, chain[0], "retry"),
        (3, chain[1], "retry"),
    ]
    assert [r.scheduled_for for r in links] == [AT, None, None]
    for node in nodes:
        node.close()


def test_a_run_is_not_made_again_that_somebody_stopped_or_that_has_no_retries(catalog: Catalog) -> None:
    stopped = catalog.runs.create(replace(plan(), document={"retries": 1}), trigger="api", at=AT)
    assert stopped and catalog.runs.claim(AT, AT)
    catalog.runs.request_stop(stopped.id, AT)
    assert catalog.runs.expire(AT, whatever_lease=True) == 1
    once = catalog.runs.create(plan(), trigger="api", at=AT)
    assert once and catalog.runs.claim(AT, AT)
    assert catalog.runs.finish(once.id, at=AT, status=RunStatus.ABORTED, reason="the service ended", again=True)
    assert [catalog.runs.get(run.id).retried_as for run in (stopped, once)] == [None, None]
    cut = catalog.runs.create(replace(plan(), document={"retries": 1}), trigger="api", at=AT)
    assert cut and catalog.runs.claim(AT, AT + timedelta(hours=1))
    assert catalog.runs.expire(AT) == 0, "its lease holds"
    assert catalog.runs.finish(cut.id, at=AT, status=RunStatus.ABORTED, reason="the service ended", again=True)
    assert catalog.runs.get(cut.id).retried_as is not None


def test_a_run_whose_worker_is_gone_is_aborted(catalog: Catalog) -> None:
    run = catalog.runs.create(plan(), trigger="api", at=AT)
    assert run and catalog.runs.claim(AT, AT + timedelta(seconds=30))
    assert catalog.runs.expire(AT + timedelta(seconds=29)) == 0
    assert catalog.runs.expire(AT + timedelta(seconds=31)) == 1
    assert catalog.runs.get(run.id).status == RunStatus.ABORTED
    with pytest.raises(Conflict):
        catalog.runs.request_stop(run.id, AT)
    with pytest.raises(NotFound):
        catalog.runs.get("nowhere")


def test_a_stop_is_heard_at_the_next_renewal_and_ends_a_queued_run(catalog: Catalog) -> None:
    running = catalog.runs.create(plan(), trigger="api", at=AT)
    assert running and catalog.runs.claim(AT, AT)
    assert catalog.runs.renew(running.id, AT) is False
    catalog.runs.request_stop(running.id, AT)
    assert catalog.runs.renew(running.id, AT) is True
    queued = catalog.runs.create(plan(), trigger="api", at=AT)
    assert queued and catalog.runs.request_stop(queued.id, AT).status == RunStatus.ABORTED


def alert(status: AlertStatus) -> Alert:
    return Alert("f1", AlertRule("SeamarkDrift", {"model": "m"}, "ticket"), AlertState(status, AT), {"value": "1"})


def test_an_alert_and_its_messages_are_there_together_or_not_at_all(catalog: Catalog) -> None:
    message = NewMessage("k1", "chat", "f1", {"status": "firing"})
    catalog.alerts.save([alert(AlertStatus.FIRING)], [message, message], AT)
    assert catalog.alerts.all([AlertStatus.FIRING]) == [alert(AlertStatus.FIRING)]
    assert catalog.outbox.pending() == 1
    broken = NewMessage("k2", None, "f1", {})  # type: ignore[arg-type]
    with pytest.raises(sa.exc.IntegrityError):
        catalog.alerts.save([alert(AlertStatus.RESOLVED)], [broken], AT)
    assert catalog.alerts.all() == [alert(AlertStatus.FIRING)]


def test_the_outbox_keeps_order_and_lapsed_claims_come_again(catalog: Catalog) -> None:
    messages = [NewMessage(f"k{n}", "chat", "f1", {"n": n}) for n in range(3)]
    catalog.alerts.save([], messages, AT)
    until = AT + timedelta(seconds=60)
    (first,) = catalog.outbox.claim(AT, until)
    assert first.key == "k0"
    assert catalog.outbox.claim(AT, until) == []
    (again,) = catalog.outbox.claim(until, until + timedelta(seconds=60))
    assert (again.key, again.attempts) == ("k0", 2)
    catalog.outbox.retry(again.id, AT, "refused")
    catalog.outbox.give_up(again.id, AT, "gone for good")
    (second,) = catalog.outbox.claim(until, until)
    catalog.outbox.sent(second.id, AT)
    assert {d["key"]: d["state"] for d in catalog.outbox.deliveries("f1")} == {
        "k0": "given_up",
        "k1": "sent",
        "k2": "pending",
    }
    assert catalog.outbox.prune(AT + timedelta(days=1)) == 2


def test_references_and_schemas(catalog: Catalog) -> None:
    schema = FeatureSchema(("age",), ("plan",))
    catalog.remember_schemas([("m", schema), ("m", schema)])
    assert catalog.schemas.of("m") == {schema.schema_id: schema}
    for id_, version, minutes in (("r1", "", 0), ("r2", "", 1), ("r3", "2", 0)):
        at = AT + timedelta(minutes=minutes)
        catalog.references.put(ReferenceSet(id_, "m", version, at, 10, schema, {"upload": "text/csv"}))
    current = [catalog.references.current("m", version) for version in (None, "1", "2")]
    assert [reference.id for reference in current if reference] == ["r2", "r2", "r3"]
    assert catalog.references.current("other") is None


def test_references_from_before_they_could_be_promoted_stay_in_force(database: Database) -> None:
    config, _ = _migrations()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = ("id", "model", "version", "created_at", "rows", "numeric", "categorical", "source")
        sets = sa.table("reference_sets", *(sa.column(name, reference_sets.c[name].type) for name in columns))
        for id_, version, minutes in (("r2", "", 1), ("r1", "", 0), ("r3", "2", 0)):
            at = AT + timedelta(minutes=minutes)
            row = (id_, "m", version, at, 10, ["x"], [], {"upload": "text/csv"})
            connection.execute(sets.insert().values(dict(zip(columns, row, strict=True))))
    database.upgrade()
    kept = Catalog(database).references
    current = [kept.current("m", version) for version in (None, "1", "2")]
    assert [reference.id for reference in current if reference] == ["r2", "r2", "r3"]
    assert all(reference and reference.untyped == () for reference in current)
    assert kept.roll_back("m", "", AT, "key")[0].id == "r1"
    change = kept.changes("m", "")[0]
    assert (change.action, change.by) == ("rollback", "key")


def test_types_are_fixed_once_and_refused_rows_add_up(catalog: Catalog) -> None:
    types = catalog.feature_types
    assert types.fix("m", "1", {"x": "numeric"}, AT)
    assert types.fix("m", "1", {"x": "categorical", "y": "categorical"}, AT + timedelta(minutes=1))
    assert types.of("m", "1") == {
        "x": FixedType("numeric", AT),
        "y": FixedType("categorical", AT + timedelta(minutes=1)),
    }
    assert types.of("m", "2") == {}
    assert types.since("m", None) == {"x": AT, "y": AT + timedelta(minutes=1)}
    clash = TypeClash("m", "1", "x", "categorical")
    for count in (2, 3):
        types.count_refused({clash: count}, AT + timedelta(seconds=10 * count))
    (found,) = types.refused("m", "1", Window(AT, AT + timedelta(minutes=5)))
    assert (found.feature, found.sent, found.rows, found.last_at) == ("x", "categorical", 5, AT)
    assert types.forget("m", "1", "x") and not types.forget("m", "1", "x")


def test_days_of_rates_only_ever_gain_and_old_ones_go(catalog: Catalog) -> None:
    day, next_day = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    first, second = nothing(), nothing()
    first[:3] = 0.0, 0.1, 5.0
    second[1:4] = 7.0, 3.0, 2.0
    for _ in range(2):
        catalog.arrivals.merge(day, {("m",): first, ("other",): second})
        catalog.arrivals.merge(day, {("m",): second})
        catalog.arrivals.merge(next_day, {("m",): first})
    found = catalog.arrivals.read(day, next_day, ["m", "nobody"])
    assert {name: set(days) for name, days in found.items()} == {("m",): {day, next_day}}
    assert found["m",][day][:5].tolist() == pytest.approx([0.0, 7.0, 5.0, 2.0, float("nan")], nan_ok=True)
    assert list(catalog.arrivals.read(next_day, next_day, ["m", "other"])) == [("m",)]
    assert catalog.arrivals.days() == {day, next_day}
    assert catalog.arrivals.prune(next_day) == 2 and catalog.arrivals.days() == {next_day}
    assert catalog.arrivals.read(day, next_day, []) == {}

    catalog.carried.merge(day, {("m", "v1"): first, ("m", ""): second})
    assert set(catalog.carried.read(day, day, ["m"])) == {("m", "v1"), ("m", "")}
    assert catalog.carried.read(day, day, ["m"])["m", "v1"][day][2] == 5.0


def test_days_of_many_models_are_written_and_read_in_parts(catalog: Catalog) -> None:
    rates = nothing()
    rates[0] = 1.0
    names = [f"m{number}" for number in range(1_201)]
    catalog.arrivals.merge(AT, {(name,): rates for name in names})
    assert set(catalog.arrivals.read(AT, AT, names)) == {(name,) for name in names}


def test_configs_keys_and_reports(catalog: Catalog) -> None:
    assert catalog.configs.current() is None
    assert catalog.configs.put("models: []", AT) and not catalog.configs.put("models: []", AT)
    assert not catalog.keys.any()
    catalog.keys.add(KeyRecord("abc", "0" * 64, "read", None, AT, None))
    catalog.keys.revoke("abc", AT)
    record = catalog.keys.by_id("abc")
    assert record and record.revoked_at == AT and catalog.keys.any()
    window = Window(AT, AT + timedelta(hours=1))
    for minute in range(5):
        report = catalog.drift_reports.queue("m", window, AT + timedelta(minutes=minute))
    assert catalog.drift_reports.claim()
    catalog.drift_reports.finish(report.id, html=b"<html>")
    latest = catalog.drift_reports.latest("m")
    assert latest and (latest.status, latest.window) == ("ready", window)


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:9/none?connect_timeout=1")
    with pytest.raises(StoreUnavailable):
        Catalog(away).keys.any()


def test_one_of_two_leads_and_the_other_takes_over(database: Database) -> None:
    first, second = Leadership(database, 5), Leadership(database, 5)
    assert first.holds()
    assert second.holds() is database.is_sqlite
    first.release()
    assert second.holds()
    second.release()
