"""How far each plan's cron line has been dealt with: one row per plan, moved on by whoever comes first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from seamark.core.specs import LoadTestPlan
from seamark.store.catalog.database import Database
from seamark.store.catalog.runs import queued_row
from seamark.store.catalog.tables import runs, schedule_marks


@dataclass(frozen=True)
class Mark:
    """A plan's mark: its instants up to `seen_until` made a run or were missed, of which `missed` counts the latter."""

    plan: str
    line: str
    seen_until: datetime
    missed: int
    missed_at: datetime | None
    missed_why: str


@dataclass(frozen=True)
class Missed:
    """Instants that made no run: how many, the last of them, and why."""

    count: int
    at: datetime
    why: str


class ScheduleMarks:
    """Marks by plan."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> dict[str, Mark]:
        """Every mark by its plan's name."""
        with self._db.read() as connection:
            rows = connection.execute(sa.select(schedule_marks).order_by(schedule_marks.c.plan))
            return {row.plan: Mark(**row._mapping) for row in rows}

    def of(self, plan: str) -> Mark | None:
        """One plan's mark; None where it has no schedule, or no worker has looked at it yet."""
        with self._db.read() as connection:
            row = connection.execute(sa.select(schedule_marks).where(schedule_marks.c.plan == plan)).first()
        return Mark(**row._mapping) if row is not None else None

    def begin(self, plan: str, line: str, at: datetime) -> None:
        """Look at a new cron line from now on; instants before are none of its own. What was missed stays counted."""
        row = {"plan": plan, "line": line, "seen_until": at}
        insert = self._db.insert(schedule_marks).values(row)
        newer = insert.on_conflict_do_update(
            index_elements=["plan"],
            set_={"line": line, "seen_until": at},
            where=schedule_marks.c.line != line,
        )
        with self._db.begin() as connection:
            connection.execute(newer)

    def move_on(
        self, mark: Mark, to: datetime, missed: Missed | None, plan: LoadTestPlan | None, at: datetime
    ) -> str | None:
        """Deal with a plan's instants up to `to`; return the id of the run queued for `to`, where `plan` is given.

        One transaction: of several workers that saw the same instants, the first to move the mark counts what was
        missed and queues the run; the others do nothing. The run's own row is unique by plan and instant as well.
        """
        values: dict[str, object] = {"seen_until": to}
        if missed is not None:
            values |= {
                "missed": schedule_marks.c.missed + missed.count,
                "missed_at": missed.at,
                "missed_why": missed.why,
            }
        unmoved = (schedule_marks.c.plan == mark.plan) & (schedule_marks.c.seen_until == mark.seen_until)
        with self._db.begin() as connection:
            if not connection.execute(schedule_marks.update().where(unmoved).values(values)).rowcount or plan is None:
                return None
            row = queued_row(plan, "schedule", at, to)
            insert = self._db.insert(runs).values(row).on_conflict_do_nothing(index_elements=["plan", "scheduled_for"])
            made: str | None = connection.execute(insert.returning(runs.c.id)).scalar()
            return made

    def forget(self, plans: Collection[str]) -> None:
        """Drop the marks of plans that are gone, or have no schedule any more."""
        if plans:
            with self._db.begin() as connection:
                connection.execute(schedule_marks.delete().where(schedule_marks.c.plan.in_(list(plans))))
