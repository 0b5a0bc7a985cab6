"""Where workers of other machines join a run that is under way."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from seamark.core.errors import NotFound
from seamark.core.findings import RunStatus
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import run_joins, runs


@dataclass(frozen=True)
class Join:
    """The master of a run, and the token by which it knows its workers."""

    run_id: str
    host: str
    port: int
    token: str


class Joins:
    """Open runs by plan."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def open(self, join: Join) -> None:
        """Let workers find a run."""
        with self._db.begin() as connection:
            connection.execute(run_joins.delete().where(run_joins.c.run_id == join.run_id))
            connection.execute(run_joins.insert().values(vars(join)))

    def close(self, run_id: str) -> None:
        """Let nobody find it any more."""
        with self._db.begin() as connection:
            connection.execute(run_joins.delete().where(run_joins.c.run_id == run_id))

    def of_plan(self, plan: str) -> Join:
        """The plan's run that is under way and takes workers; NotFound where there is none."""
        query = (
            sa.select(run_joins)
            .join(runs, runs.c.id == run_joins.c.run_id)
            .where(runs.c.plan == plan, runs.c.status == RunStatus.RUNNING.value)
            .order_by(runs.c.started_at.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"no run of {plan[:64]!r} takes workers now")
        return Join(**row._mapping)
