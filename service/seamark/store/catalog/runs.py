"""Load-test plans put through the API, and runs: asked for, claimed by one worker, ended once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from seamark.core.errors import Conflict, NotFound
from seamark.core.findings import RunStatus, Verdict, to_document
from seamark.core.specs import LoadTestPlan
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import plans, run_progress, runs
from seamark.wire.checks import origin_of

PROGRESS_KEPT = 3600  # lines of progress per run, the newest: an hour at one a second
_DROP_EVERY = 60  # lines: dropping old ones with each would cost as much again as keeping it


@dataclass(frozen=True)
class RunRecord:
    """One run as the catalog holds it. `verdict` is None until it ended with one."""

    id: str
    plan: str
    model: str
    origin: str
    document: Mapping[str, Any]
    trigger: str
    scheduled_for: datetime | None
    status: RunStatus
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    lease_until: datetime | None
    stop_requested: bool
    verdict: Verdict | None
    segments: Sequence[Mapping[str, Any]]
    retry_of: str | None = None
    attempt: int = 1
    worker: str | None = None
    retried_as: str | None = None  # the run that makes this one again


# Every column, and the run that makes this one again.
_again = runs.alias("again")
_RUN = sa.select(
    runs, sa.select(_again.c.id).where(_again.c.retry_of == runs.c.id).scalar_subquery().label("retried_as")
)


@dataclass(frozen=True)
class JudgedRun:
    """What a later run of the plan reads of one that passed or failed."""

    id: str
    ended_at: datetime
    status: RunStatus
    verdict: Verdict


class Plans:
    """Plans by name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, name: str, document: Mapping[str, Any], at: datetime) -> None:
        """Write a plan, replacing one of the same name."""
        row = {"name": name, "document": dict(document), "updated_at": at}
        with self._db.begin() as connection:
            insert = self._db.insert(plans).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=row))

    def delete(self, name: str) -> bool:
        """Remove a plan; False where there was none."""
        with self._db.begin() as connection:
            return bool(connection.execute(plans.delete().where(plans.c.name == name)).rowcount)

    def all(self) -> dict[str, Mapping[str, Any]]:
        """Every plan's document by name."""
        with self._db.read() as connection:
            return {row.name: row.document for row in connection.execute(sa.select(plans).order_by(plans.c.name))}


class Runs:
    """Runs by id, and the queue they stand in."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(
        self, plan: LoadTestPlan, *, trigger: str, at: datetime, scheduled_for: datetime | None = None
    ) -> RunRecord | None:
        """Queue a run. None where this cron instant has made one already."""
        row = queued_row(plan, trigger, at, scheduled_for)
        try:
            with self._db.begin() as connection:
                connection.execute(runs.insert().values(row))
        except IntegrityError:
            return None
        return self.get(row["id"])

    def get(self, run_id: str) -> RunRecord:
        """One run; NotFound where there is none."""
        with self._db.read() as connection:
            row = connection.execute(_RUN.where(runs.c.id == run_id)).first()
        if row is None:
            raise NotFound(f"there is no run {run_id[:64]!r}")
        return _record(row)

    def recent(self, *, plan: str | None = None, model: str | None = None, limit: int = 50) -> list[RunRecord]:
        """Runs, newest first."""
        query = _RUN.order_by(runs.c.created_at.desc(), runs.c.id).limit(limit)
        if plan is not None:
            query = query.where(runs.c.plan == plan)
        if model is not None:
            query = query.where(runs.c.model == model)
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def judged(self, plan: str, *, since: datetime | None, limit: int) -> list[JudgedRun]:
        """Return the runs of a plan that passed or failed and have a verdict, newest first."""
        ended = [RunStatus.PASSED.value, RunStatus.FAILED.value]
        columns = (runs.c.id, runs.c.ended_at, runs.c.status, runs.c.verdict)
        query = sa.select(*columns).where(runs.c.plan == plan, runs.c.status.in_(ended), runs.c.ended_at.is_not(None))
        if since is not None:
            query = query.where(runs.c.ended_at >= since)
        query = query.order_by(runs.c.created_at.desc(), runs.c.id).limit(limit)
        with self._db.read() as connection:
            found = [row for row in connection.execute(query) if row.verdict]
        return [
            JudgedRun(row.id, row.ended_at, RunStatus(row.status), msgspec.convert(row.verdict, Verdict))
            for row in found
        ]

    def document(self, run_id: str) -> Mapping[str, Any]:
        """The plan as it was when this run was asked for; empty where there is no such run."""
        with self._db.read() as connection:
            return connection.execute(sa.select(runs.c.document).where(runs.c.id == run_id)).scalar() or {}

    def last_per_plan(self) -> list[RunRecord]:
        """The newest ended run of every plan."""
        ended = runs.c.status.in_([s.value for s in RunStatus if s.final])
        newest = sa.select(runs.c.plan, sa.func.max(runs.c.ended_at).label("at")).where(ended).group_by(runs.c.plan)
        last = newest.subquery()
        query = _RUN.join(last, (runs.c.plan == last.c.plan) & (runs.c.ended_at == last.c.at))
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def running(self) -> list[RunRecord]:
        """The runs under way, the longest first."""
        query = _RUN.where(runs.c.status == RunStatus.RUNNING.value).order_by(runs.c.started_at, runs.c.id)
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def ahead_of(self, run: RunRecord) -> int:
        """How many queued runs against the same target were asked for before this one."""
        earlier = sa.or_(
            runs.c.created_at < run.created_at,
            sa.and_(runs.c.created_at == run.created_at, runs.c.id < run.id),
        )
        query = (
            sa.select(sa.func.count())
            .select_from(runs)
            .where(runs.c.status == RunStatus.QUEUED.value, runs.c.origin == run.origin, earlier)
        )
        with self._db.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def claim(self, at: datetime, lease_until: datetime, worker: str | None = None) -> RunRecord | None:
        """Take the oldest queued run whose target is free; None where there is none.

        The schema lets one run per target be `running`: of two workers that claim at once, one gets None.
        """
        if not self._any(RunStatus.QUEUED):
            return None  # an idle look takes no write lock
        busy = sa.select(runs.c.origin).where(runs.c.status == RunStatus.RUNNING.value)
        query = (
            sa.select(runs.c.id)
            .where(runs.c.status == RunStatus.QUEUED.value, runs.c.origin.not_in(busy))
            .order_by(runs.c.created_at, runs.c.id)
            .limit(1)
        )
        try:
            with self._db.begin() as connection:
                run_id = connection.execute(query).scalar()
                if run_id is None:
                    return None
                taken = connection.execute(
                    runs.update()
                    .where(runs.c.id == run_id, runs.c.status == RunStatus.QUEUED.value)
                    .values(status=RunStatus.RUNNING.value, started_at=at, lease_until=lease_until, worker=worker)
                ).rowcount
        except IntegrityError:
            return None
        return self.get(run_id) if taken else None

    def _any(self, status: RunStatus) -> bool:
        with self._db.read() as connection:
            query = sa.select(runs.c.id).where(runs.c.status == status.value).limit(1)
            return connection.execute(query).scalar() is not None

    def renew(self, run_id: str, lease_until: datetime) -> bool:
        """Keep the lease; the answer says whether to stop: somebody asked, or the lease was lost and the run ended."""
        running = (runs.c.id == run_id) & (runs.c.status == RunStatus.RUNNING.value)
        with self._db.begin() as connection:
            if not connection.execute(runs.update().where(running).values(lease_until=lease_until)).rowcount:
                return True
            return bool(connection.execute(sa.select(runs.c.stop_requested).where(runs.c.id == run_id)).scalar())

    def to_be_stopped(self, run_id: str) -> bool:
        """Whether somebody asked the run to stop, or it has ended already. A read: cheap enough to ask often."""
        query = sa.select(runs.c.stop_requested, runs.c.status).where(runs.c.id == run_id)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return row is None or bool(row.stop_requested) or row.status != RunStatus.RUNNING.value

    def request_stop(self, run_id: str, at: datetime) -> RunRecord:
        """Ask a run to stop: a queued one is aborted at once, a running one as soon as its worker hears of it."""
        record = self.get(run_id)
        if record.status.final:
            raise Conflict(f"run {run_id} has ended already: {record.status.value}")
        with self._db.begin() as connection:
            connection.execute(
                runs.update()
                .where(runs.c.id == run_id, runs.c.status == RunStatus.QUEUED.value)
                .values(status=RunStatus.ABORTED.value, reason="stopped before it began", ended_at=at)
            )
            connection.execute(runs.update().where(runs.c.id == run_id).values(stop_requested=True))
        return self.get(run_id)

    def finish(
        self,
        run_id: str,
        *,
        at: datetime,
        status: RunStatus,
        reason: str,
        verdict: Verdict | None = None,
        segments: Sequence[Mapping[str, Any]] = (),
        again: bool = False,
    ) -> bool:
        """End a run; False where it has ended already, and stays as it is.

        With `again` it is queued once more, where its plan's `retries` allow and nobody asked it to stop.
        """
        values = {
            "status": status.value,
            "reason": reason,
            "ended_at": at,
            "lease_until": None,
            "verdict": to_document(verdict) if verdict else None,
            "segments": [dict(segment) for segment in segments],
        }
        with self._db.begin() as connection:
            mine = runs.update().where(runs.c.id == run_id, runs.c.status == RunStatus.RUNNING.value)
            ended = bool(connection.execute(mine.values(values)).rowcount)
            if ended and again:
                _queue_again(connection, run_id, at)
        return ended

    def add_verdict(self, run_id: str, verdict: Verdict, segments: Sequence[Mapping[str, Any]]) -> None:
        """Tell what was measured in a run that has been ended as aborted already."""
        values = {"verdict": to_document(verdict), "segments": [dict(segment) for segment in segments]}
        aborted = (runs.c.id == run_id) & (runs.c.status == RunStatus.ABORTED.value)
        with self._db.begin() as connection:
            connection.execute(runs.update().where(aborted).values(values))

    def expire(self, at: datetime, *, whatever_lease: bool = False) -> int:
        """End the runs whose worker is gone: their lease ran out. Returns how many.

        Each is queued once more where its plan's `retries` allow. `whatever_lease` is for who knows that no other
        worker can be there: one that starts on a data folder that it holds alone.
        """
        if not self._any(RunStatus.RUNNING):
            return 0
        lost = runs.c.status == RunStatus.RUNNING.value
        if not whatever_lease:
            lost &= runs.c.lease_until < at
        ended = 0
        with self._db.begin() as connection:
            for row in connection.execute(sa.select(runs.c.id, runs.c.worker).where(lost)).all():
                who = f"the worker that ran it ({row.worker})" if row.worker else "the worker that ran it"
                values = {
                    "status": RunStatus.ABORTED.value,
                    "reason": f"{who} went away: stopped, killed or cut off",
                    "ended_at": at,
                    "lease_until": None,
                }
                # Another worker may have done it since the read.
                if connection.execute(runs.update().where(runs.c.id == row.id, lost).values(values)).rowcount:
                    ended += 1
                    _queue_again(connection, row.id, at)
        return ended

    def prune(self, before: datetime, progress_before: datetime) -> None:
        """Drop ended runs older than `before`, and the live progress of those older than `progress_before`."""
        old = sa.select(runs.c.id).where(runs.c.ended_at < progress_before)
        with self._db.begin() as connection:
            connection.execute(run_progress.delete().where(run_progress.c.run_id.in_(old)))
            connection.execute(runs.delete().where(runs.c.ended_at < before))

    def add_progress(self, run_id: str, seq: int, body: Mapping[str, Any]) -> None:
        """Keep one line of live progress, the `seq`th from 0; of all the last hour's, and up to a minute more."""
        old = (run_progress.c.run_id == run_id) & (run_progress.c.seq <= seq - PROGRESS_KEPT)
        with self._db.begin() as connection:
            connection.execute(run_progress.insert().values(run_id=run_id, seq=seq, body=dict(body)))
            if seq >= PROGRESS_KEPT and seq % _DROP_EVERY == 0:
                connection.execute(run_progress.delete().where(old))

    def progress(self, run_id: str, after_seq: int = -1) -> list[tuple[int, Mapping[str, Any]]]:
        """Lines of progress later than `after_seq`, in order."""
        query = (
            sa.select(run_progress.c.seq, run_progress.c.body)
            .where(run_progress.c.run_id == run_id, run_progress.c.seq > after_seq)
            .order_by(run_progress.c.seq)
        )
        with self._db.read() as connection:
            return [(row.seq, row.body) for row in connection.execute(query)]


def queued_row(plan: LoadTestPlan, trigger: str, at: datetime, scheduled_for: datetime | None) -> dict[str, Any]:
    """A new run of a plan as its row."""
    return {
        "id": uuid4().hex[:16],
        "plan": plan.name,
        "model": plan.model,
        "origin": origin_of(plan.target),
        "document": dict(plan.document),
        "trigger": trigger,
        "scheduled_for": scheduled_for,
        "status": RunStatus.QUEUED.value,
        "created_at": at,
    }


def _queue_again(connection: sa.Connection, run_id: str, at: datetime) -> None:
    """Queue an ended run once more, in the transaction that ended it: neither twice nor never."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).one()
    retries = row.document.get("retries", 0)
    if row.stop_requested or not isinstance(retries, int) or row.attempt > retries:
        return
    same = {name: getattr(row, name) for name in ("plan", "model", "origin", "document")}
    connection.execute(
        runs.insert().values(
            **same,
            id=uuid4().hex[:16],
            trigger="retry",
            status=RunStatus.QUEUED.value,
            created_at=at,
            retry_of=run_id,
            attempt=row.attempt + 1,
        )
    )


def _record(row: Any) -> RunRecord:
    values = dict(row._mapping)
    values["status"] = RunStatus(values["status"])
    values["verdict"] = msgspec.convert(values["verdict"], Verdict) if values["verdict"] else None
    values["segments"] = values["segments"] or []
    return RunRecord(**values)
