"""Findings, feature schemas, drift reports and applied configurations: small repositories of one table each."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

import msgspec
import sqlalchemy as sa

from seamark.core.errors import NotFound
from seamark.core.findings import to_document
from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.store.catalog.database import Database
from seamark.store.catalog.feature_lists import lists_of, schema_of
from seamark.store.catalog.tables import configs, drift_reports, feature_schemas, findings

Finding = TypeVar("Finding")


@dataclass(frozen=True)
class Found(Generic[Finding]):
    """A finding with when it was made and the run that made it, if one did."""

    at: datetime
    finding: Finding
    run_id: str | None = None


class Findings:
    """What was concluded, by model and kind."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(
        self, model: str, kind: str, at: datetime, finding: Any, *, run_id: str | None = None, replace: bool = False
    ) -> None:
        """Write a finding; `replace` keeps only this one of its kind."""
        with self._db.begin() as connection:
            if replace:
                connection.execute(findings.delete().where(findings.c.model == model, findings.c.kind == kind))
            row = {"model": model, "kind": kind, "at": at, "run_id": run_id, "body": to_document(finding)}
            connection.execute(findings.insert().values(row))

    def latest(self, model: str, kind: str, type_: type[Finding]) -> Found[Finding] | None:
        """The newest finding of a kind, or None."""
        found = self.history(model, kind, type_, limit=1)
        return found[0] if found else None

    def history(
        self,
        model: str,
        kind: str,
        type_: type[Finding],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 200,
    ) -> list[Found[Finding]]:
        """Findings of a kind made at `since` or later and at `until` or earlier, newest first."""
        query = sa.select(findings).where(findings.c.model == model, findings.c.kind == kind)
        if since is not None:
            query = query.where(findings.c.at >= since)
        if until is not None:
            query = query.where(findings.c.at <= until)
        query = query.order_by(findings.c.at.desc(), findings.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            rows = connection.execute(query).all()
        return [Found(row.at, msgspec.convert(row.body, type_), row.run_id) for row in rows]

    def since(self, model: str, kind: str, type_: type[Finding], since: datetime, *, limit: int = 200) -> list[Finding]:
        """Findings made at `since` or later, newest first; only the fields of `type_` are made objects."""
        query = sa.select(sa.cast(findings.c.body, sa.Text))
        query = query.where(findings.c.model == model, findings.c.kind == kind, findings.c.at >= since)
        query = query.order_by(findings.c.at.desc(), findings.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            texts = connection.execute(query).scalars().all()
        return [msgspec.json.decode(text, type=type_) for text in texts]

    def of_models(self, models: Sequence[str], kind: str, type_: type[Finding]) -> dict[str, Found[Finding]]:
        """The findings of a kind of which a model keeps one (`replace`), by model, oldest first."""
        rows: list[Any] = []
        with self._db.read() as connection:
            for place in range(0, len(models), _MODELS_AT_ONCE):
                some = models[place : place + _MODELS_AT_ONCE]
                query = sa.select(findings).where(findings.c.model.in_(some), findings.c.kind == kind)
                rows += connection.execute(query).all()
        rows.sort(key=lambda row: (row.at, row.id))
        return {row.model: Found(row.at, msgspec.convert(row.body, type_), row.run_id) for row in rows}

    def drop(self, model: str, kind: str, until: datetime) -> None:
        """Drop the findings of a kind made at `until` or earlier."""
        mine = (findings.c.model == model, findings.c.kind == kind, findings.c.at <= until)
        with self._db.begin() as connection:
            connection.execute(findings.delete().where(*mine))

    def thinned(
        self, model: str, kind: str, type_: type[Finding], window: Window, limit: int
    ) -> tuple[list[Found[Finding]], int]:
        """Return (findings of a window, oldest first; how many there are): all, or every n-th back from the newest."""
        of_window = (
            findings.c.model == model,
            findings.c.kind == kind,
            findings.c.at >= window.start,
            findings.c.at < window.end,
        )
        place = sa.func.row_number().over(order_by=(findings.c.at.desc(), findings.c.id.desc())).label("place")
        with self._db.read() as connection:
            total = int(connection.execute(sa.select(sa.func.count()).where(*of_window)).scalar_one())
            stride = max(-(-total // limit), 1)
            placed = sa.select(findings.c.id, place).where(*of_window).subquery()
            wanted = sa.select(placed.c.id).where((placed.c.place - 1) % stride == 0).limit(limit)
            query = sa.select(findings).where(findings.c.id.in_(wanted))
            rows = connection.execute(query.order_by(findings.c.at, findings.c.id)).all()
        return [Found(row.at, msgspec.convert(row.body, type_), row.run_id) for row in rows], total

    def near(
        self, model: str, kind: str, type_: type[Finding], instants: Sequence[datetime], reach: timedelta
    ) -> list[Found[Finding] | None]:
        """For each instant the first finding made at it or up to `reach` later, else the last one up to `reach` before.

        Only what is returned is read whole, however many findings lie between.
        """
        made: list[Any] = []
        with self._db.read() as connection:
            for place in range(0, len(instants), _NEAR_AT_ONCE):
                spans = (_near(model, kind, instant, reach) for instant in instants[place : place + _NEAR_AT_ONCE])
                made += connection.execute(sa.union_all(*spans)).all()
            nearest = [_nearest(made, instant, reach) for instant in instants]
            wanted = {number for number in nearest if number is not None}
            bodies = connection.execute(sa.select(findings).where(findings.c.id.in_(wanted))).all() if wanted else []
        read = {row.id: Found(row.at, msgspec.convert(row.body, type_), row.run_id) for row in bodies}
        return [read.get(number) if number is not None else None for number in nearest]

    def thin(self, before: datetime, kind: str) -> int:
        """Of the findings of a kind older than that keep those made in the first ten seconds of each ten minutes."""
        since_slot_s = sa.cast(sa.extract("epoch", findings.c.at), sa.BigInteger) % THINNED_TO_S
        dropped = findings.delete().where(
            findings.c.kind == kind, findings.c.at < before, since_slot_s >= THINNED_FIRST_S
        )
        with self._db.begin() as connection:
            return connection.execute(dropped).rowcount

    def prune(self, before: datetime, kind: str | None = None) -> int:
        """Drop findings older than that (of one kind), but capacities: they hold until a newer test says otherwise."""
        old = findings.delete().where(findings.c.at < before, findings.c.kind != "capacity")
        with self._db.begin() as connection:
            return connection.execute(old if kind is None else old.where(findings.c.kind == kind)).rowcount


_MODELS_AT_ONCE = 500  # in one statement
THINNED_TO_S, THINNED_FIRST_S = 600, 10
_NEAR_AT_ONCE = 100  # instants in one statement: SQLite joins at most 500 selects


def _near(model: str, kind: str, instant: datetime, reach: timedelta) -> sa.Select[Any]:
    return sa.select(findings.c.id, findings.c.at).where(
        findings.c.model == model,
        findings.c.kind == kind,
        findings.c.at >= instant - reach,
        findings.c.at <= instant + reach,
    )


def _nearest(made: Sequence[Any], instant: datetime, reach: timedelta) -> int | None:
    after = [(row.at, row.id) for row in made if instant <= row.at <= instant + reach]
    before = [(row.at, row.id) for row in made if instant - reach <= row.at < instant]
    return min(after)[1] if after else max(before)[1] if before else None


class Schemas:
    """Feature schemas by model."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def remember(self, schemas: Iterable[tuple[str, FeatureSchema]]) -> None:
        """Write schemas that are not known yet."""
        with self._db.begin() as connection:
            for model, schema in schemas:
                row = {
                    "model": model,
                    "schema_id": schema.schema_id,
                    **lists_of(schema),
                }
                connection.execute(self._db.insert(feature_schemas).values(row).on_conflict_do_nothing())

    def of(self, model: str) -> dict[int, FeatureSchema]:
        """Every schema a model was seen with."""
        query = sa.select(feature_schemas).where(feature_schemas.c.model == model)
        with self._db.read() as connection:
            rows = connection.execute(query).all()
        return {row.schema_id: schema_of(row) for row in rows}


@dataclass(frozen=True)
class AppliedConfig:
    """A seamark.yaml that was applied."""

    id: int
    applied_at: datetime
    text: str


class Configs:
    """Applied configurations; the newest is in force."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def current(self) -> AppliedConfig | None:
        """The one in force, or None."""
        query = sa.select(configs).order_by(configs.c.id.desc()).limit(1)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return AppliedConfig(row.id, row.applied_at, row.text) if row else None

    def history(self, limit: int = 20) -> list[AppliedConfig]:
        """The last ones, newest first."""
        query = sa.select(configs).order_by(configs.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            return [AppliedConfig(row.id, row.applied_at, row.text) for row in connection.execute(query)]

    def put(self, text: str, at: datetime) -> bool:
        """Put one in force; False where the one in force is the same, letter by letter."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self._db.begin() as connection:
            last = connection.execute(sa.select(configs.c.digest).order_by(configs.c.id.desc()).limit(1)).scalar()
            if last == digest:
                return False
            connection.execute(configs.insert().values(applied_at=at, digest=digest, text=text))
        return True


@dataclass(frozen=True)
class DriftReport:
    """An Evidently report: queued, running, ready or failed."""

    id: str
    model: str
    status: str
    reason: str
    window: Window
    created_at: datetime


class DriftReports:
    """Evidently's HTML reports; the last few of each model are kept."""

    KEPT = 3

    def __init__(self, database: Database) -> None:
        self._db = database

    def latest(self, model: str) -> DriftReport | None:
        """The newest report of a model."""
        query = sa.select(drift_reports).where(drift_reports.c.model == model)
        query = query.order_by(drift_reports.c.created_at.desc()).limit(1)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return _report(row) if row else None

    def queue(self, model: str, window: Window, at: datetime) -> DriftReport:
        """Ask for a report."""
        report = DriftReport(uuid4().hex[:16], model, "queued", "", window, at)
        row = {
            "id": report.id,
            "model": model,
            "status": report.status,
            "window_start": window.start,
            "window_end": window.end,
            "created_at": at,
        }
        newest = sa.select(drift_reports.c.id).where(drift_reports.c.model == model)
        newest = newest.order_by(drift_reports.c.created_at.desc()).limit(self.KEPT - 1)
        with self._db.begin() as connection:
            kept = connection.execute(newest).scalars().all()
            old = drift_reports.delete().where(drift_reports.c.model == model, drift_reports.c.id.not_in(kept))
            connection.execute(old)
            connection.execute(drift_reports.insert().values(row))
        return report

    def claim(self) -> DriftReport | None:
        """Take the oldest queued report."""
        query = sa.select(drift_reports).where(drift_reports.c.status == "queued")
        query = query.order_by(drift_reports.c.created_at).limit(1)
        with self._db.read() as connection:
            if connection.execute(query).first() is None:
                return None  # an idle look takes no write lock
        with self._db.begin() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            mine = drift_reports.update().where(drift_reports.c.id == row.id, drift_reports.c.status == "queued")
            if not connection.execute(mine.values(status="running")).rowcount:
                return None
        return _report(row)

    def requeue(self, report_id: str) -> None:
        """Put a report back that was interrupted."""
        with self._db.begin() as connection:
            again = drift_reports.update().where(drift_reports.c.id == report_id).values(status="queued")
            connection.execute(again)

    def finish(self, report_id: str, *, html: bytes | None, reason: str = "") -> None:
        """Keep what the worker made, or why it made nothing."""
        values: dict[str, Any] = {"status": "ready" if html else "failed", "reason": reason[:500]}
        values["html"] = gzip.compress(html, 6) if html else None
        with self._db.begin() as connection:
            connection.execute(drift_reports.update().where(drift_reports.c.id == report_id).values(values))

    def html(self, report_id: str) -> bytes:
        """The page, gzip-compressed."""
        query = sa.select(drift_reports.c.html).where(drift_reports.c.id == report_id)
        with self._db.read() as connection:
            body: bytes | None = connection.execute(query).scalar()
        if body is None:
            raise NotFound(f"report {report_id} has no page")
        return body


def _report(row: Any) -> DriftReport:
    window = Window(row.window_start, row.window_end)
    return DriftReport(row.id, row.model, row.status, row.reason, window, row.created_at)
