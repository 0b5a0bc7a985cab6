"""Reference sets by model and version, which of them is in force, and who made it so and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from seamark.core.errors import Conflict, NotFound
from seamark.core.records import FeatureSchema
from seamark.store.catalog.database import Database
from seamark.store.catalog.feature_lists import lists_of, schema_of
from seamark.store.catalog.tables import reference_changes, reference_sets

LISTED_MAX = 200

_CHANGES_LOCK = 7_362_010  # any number; the same for every node


@dataclass(frozen=True)
class ReferenceSet:
    """A reference a model's windows are held against; its rows lie in the lake under `id`.

    `untyped` are features that have no value in it: they say nothing of what the feature is.
    """

    id: str
    model: str
    version: str
    created_at: datetime
    rows: int
    schema: FeatureSchema
    source: Mapping[str, Any]
    untyped: Sequence[str] = ()


@dataclass(frozen=True)
class ReferenceChange:
    """A reference came into force. `by` is the id of the API key that asked for it, "" where access was open."""

    id: int
    model: str
    version: str
    reference_id: str
    action: str  # "put" | "promote" | "rollback"
    at: datetime
    by: str
    before: int | None


class References:
    """Reference sets by model and version, and the one in force: the one that came last and was not rolled back."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, reference: ReferenceSet, by: str = "", *, promote: bool = True) -> None:
        """Write a reference set, in force from now on unless not `promote`; call it after its rows are in the lake."""
        row = {
            "id": reference.id,
            "model": reference.model,
            "version": reference.version,
            "created_at": reference.created_at,
            "rows": reference.rows,
            **lists_of(reference.schema),
            "source": dict(reference.source),
            "untyped": list(reference.untyped),
        }
        with self._db.begin() as connection:
            self._lock(connection)
            connection.execute(reference_sets.insert().values(row))
            if promote:
                before = _newest(connection, reference.model, reference.version)
                _change(connection, reference, "put", reference.created_at, by, before.id if before else None)

    def get(self, model: str, reference_id: str) -> ReferenceSet | None:
        """The reference of that id, in force or not, or None."""
        query = sa.select(reference_sets).where(reference_sets.c.model == model, reference_sets.c.id == reference_id)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return _set(row) if row else None

    def current(self, model: str, version: str | None = None) -> ReferenceSet | None:
        """The reference in force for this version, else the one that is for every version."""
        found = self.in_force(model, version)
        return found[0] if found else None

    def in_force(self, model: str, version: str | None = None) -> tuple[ReferenceSet, ReferenceChange] | None:
        """The same, with how it came into force."""
        newest = (
            sa.select(reference_changes)
            .where(reference_changes.c.model == model, reference_changes.c.version.in_(["", version or ""]))
            .order_by(reference_changes.c.version.desc(), reference_changes.c.id.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            change = connection.execute(newest).first()
            if change is None:
                return None
            wanted = sa.select(reference_sets).where(reference_sets.c.id == change.reference_id)
            return _set(connection.execute(wanted).one()), ReferenceChange(*change)

    def listed(self, model: str, version: str | None = None) -> list[ReferenceSet]:
        """The newest LISTED_MAX references of a model, newest first; of one version, or of all (None)."""
        query = sa.select(reference_sets).where(reference_sets.c.model == model)
        if version is not None:
            query = query.where(reference_sets.c.version == version)
        query = query.order_by(reference_sets.c.created_at.desc(), reference_sets.c.id).limit(LISTED_MAX)
        with self._db.read() as connection:
            return [_set(row) for row in connection.execute(query)]

    def changes(self, model: str, version: str | None = None) -> list[ReferenceChange]:
        """The last LISTED_MAX changes of a model's references, newest first."""
        query = sa.select(reference_changes).where(reference_changes.c.model == model)
        if version is not None:
            query = query.where(reference_changes.c.version == version)
        query = query.order_by(reference_changes.c.id.desc()).limit(LISTED_MAX)
        with self._db.read() as connection:
            return [ReferenceChange(*row) for row in connection.execute(query)]

    def promote(self, model: str, reference_id: str, at: datetime, by: str) -> tuple[ReferenceSet, bool]:
        """Put a reference in force for its version; return it, and whether that changed anything. NotFound."""
        wanted = sa.select(reference_sets).where(reference_sets.c.model == model, reference_sets.c.id == reference_id)
        with self._db.begin() as connection:
            self._lock(connection)
            row = connection.execute(wanted).first()
            if row is None:
                raise NotFound(f"{model[:100]} has no reference {reference_id[:100]!r}")
            reference = _set(row)
            before = _newest(connection, model, reference.version)
            if before is not None and before.reference_id == reference.id:
                return reference, False
            _change(connection, reference, "promote", at, by, before.id if before else None)
            return reference, True

    def roll_back(
        self, model: str, version: str, at: datetime, by: str, leave: str | None = None
    ) -> tuple[ReferenceSet, bool]:
        """Put the reference in force that was before the present one; return it, and whether that changed anything.

        With `leave`, the id of the one to go back from, doing it twice does it once. NotFound where a version has no
        reference of its own, Conflict where there is none before, or another one than `leave` is in force.
        """
        with self._db.begin() as connection:
            self._lock(connection)
            newest = _newest(connection, model, version)
            if newest is None:
                of = f"version {version[:100]!r} of {model[:100]}" if version else model[:100]
                raise NotFound(f"{of} has no reference of its own")
            if leave is not None and newest.reference_id != leave:
                if newest.action == "rollback" and _left(connection, newest) == leave:
                    return _of(connection, newest.reference_id), False
                raise Conflict(f"reference {leave[:100]!r} is not in force, {newest.reference_id} is: nothing was done")
            if newest.before is None:
                raise Conflict(f"reference {newest.reference_id} is the first one: there is none to go back to")
            earlier = connection.execute(
                sa.select(reference_changes).where(reference_changes.c.id == newest.before)
            ).one()
            reference = _of(connection, earlier.reference_id)
            _change(connection, reference, "rollback", at, by, earlier.before)
            return reference, True

    def _lock(self, connection: sa.Connection) -> None:
        """One change at a time: each builds on the one before. SQLite writers are alone anyway."""
        if not self._db.is_sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHANGES_LOCK})


def _newest(connection: sa.Connection, model: str, version: str) -> ReferenceChange | None:
    query = (
        sa.select(reference_changes)
        .where(reference_changes.c.model == model, reference_changes.c.version == version)
        .order_by(reference_changes.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return ReferenceChange(*row) if row else None


def _left(connection: sa.Connection, change: ReferenceChange) -> str | None:
    """The reference that was in force before this change."""
    query = (
        sa.select(reference_changes.c.reference_id)
        .where(
            reference_changes.c.model == change.model,
            reference_changes.c.version == change.version,
            reference_changes.c.id < change.id,
        )
        .order_by(reference_changes.c.id.desc())
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar()
    return found


def _change(
    connection: sa.Connection, reference: ReferenceSet, action: str, at: datetime, by: str, before: int | None
) -> None:
    row = {
        "model": reference.model,
        "version": reference.version,
        "reference_id": reference.id,
        "action": action,
        "at": at,
        "by": by,
        "before": before,
    }
    connection.execute(reference_changes.insert().values(row))


def _of(connection: sa.Connection, reference_id: str) -> ReferenceSet:
    return _set(connection.execute(sa.select(reference_sets).where(reference_sets.c.id == reference_id)).one())


def _set(row: Any) -> ReferenceSet:
    schema = schema_of(row)
    return ReferenceSet(
        row.id, row.model, row.version, row.created_at, row.rows, schema, row.source, tuple(row.untyped)
    )
