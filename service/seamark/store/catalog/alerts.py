"""Alert states and the outbox: a change and its messages are one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from seamark.core.findings import Alert, AlertStatus, to_document
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import alerts, outbox


@dataclass(frozen=True)
class OutboxRow:
    """One message on its way: `body` is what delivery/message.AlertMessage is made of."""

    id: int
    key: str
    channel: str
    fingerprint: str
    body: Mapping[str, Any]
    created_at: datetime
    attempts: int


@dataclass(frozen=True)
class LastWritten:
    """The last message of one alert to one channel; `pending` where any of them still waits."""

    at: datetime
    pending: bool


@dataclass(frozen=True)
class NewMessage:
    """A message to be put in the outbox. The same key twice is one message."""

    key: str
    channel: str
    fingerprint: str
    body: Mapping[str, Any]


class Alerts:
    """Alerts by fingerprint."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self, statuses: Iterable[AlertStatus] | None = None) -> list[Alert]:
        """Alerts, the latest change first."""
        query = sa.select(alerts.c.body).order_by(alerts.c.updated_at.desc(), alerts.c.fingerprint)
        if statuses is not None:
            query = query.where(alerts.c.status.in_([status.value for status in statuses]))
        with self._db.read() as connection:
            return [msgspec.convert(body, Alert) for body in connection.execute(query).scalars()]

    def save(self, changed: Iterable[Alert], messages: Iterable[NewMessage], at: datetime) -> None:
        """Write states and messages together: either both are there afterwards or neither."""
        with self._db.begin() as connection:
            for alert in changed:
                row = {
                    "fingerprint": alert.fingerprint,
                    "status": alert.state.status.value,
                    "updated_at": at,
                    "body": to_document(alert),
                }
                insert = self._db.insert(alerts).values(row)
                connection.execute(insert.on_conflict_do_update(index_elements=["fingerprint"], set_=row))
            for message in messages:
                values = {
                    "key": message.key,
                    "channel": message.channel,
                    "fingerprint": message.fingerprint,
                    "body": dict(message.body),
                    "created_at": at,
                    "next_at": at,
                }
                connection.execute(
                    self._db.insert(outbox).values(values).on_conflict_do_nothing(index_elements=["key"])
                )


class Outbox:
    """Messages in the order they were written."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(self, at: datetime, claim_until: datetime, limit: int = 20) -> list[OutboxRow]:
        """Take messages that are due; a claim that is not ended by then lapses and the message is due again.

        Messages of one alert on one channel go in order: a later one waits until the earlier one has ended.
        """
        if not self._any_due(at):
            return []  # an idle look takes no write lock
        earlier = outbox.alias("earlier")
        first = ~sa.exists().where(
            earlier.c.fingerprint == outbox.c.fingerprint,
            earlier.c.channel == outbox.c.channel,
            earlier.c.state == "pending",
            earlier.c.id < outbox.c.id,
        )
        due = sa.select(outbox).where(outbox.c.state == "pending", outbox.c.next_at <= at, first)
        due = due.order_by(outbox.c.id).limit(limit)
        if not self._db.is_sqlite:
            due = due.with_for_update(skip_locked=True)
        with self._db.begin() as connection:
            rows = connection.execute(due).all()
            if rows:
                ids = [row.id for row in rows]
                claim = outbox.update().where(outbox.c.id.in_(ids))
                connection.execute(claim.values(next_at=claim_until, attempts=outbox.c.attempts + 1))
        return [
            OutboxRow(row.id, row.key, row.channel, row.fingerprint, row.body, row.created_at, row.attempts + 1)
            for row in rows
        ]

    def _any_due(self, at: datetime) -> bool:
        query = sa.select(outbox.c.id).where(outbox.c.state == "pending", outbox.c.next_at <= at).limit(1)
        with self._db.read() as connection:
            return connection.execute(query).scalar() is not None

    def sent(self, row_id: int, at: datetime) -> None:
        """The other side accepted it."""
        self._end(row_id, {"state": "sent", "ended_at": at, "last_error": None})

    def retry(self, row_id: int, next_at: datetime, error: str) -> None:
        """It failed and may yet succeed."""
        self._end(row_id, {"next_at": next_at, "last_error": error[:500]})

    def give_up(self, row_id: int, at: datetime, error: str) -> None:
        """It failed for good; it stays readable with its error."""
        self._end(row_id, {"state": "given_up", "ended_at": at, "last_error": error[:500]})

    def _end(self, row_id: int, values: Mapping[str, Any]) -> None:
        with self._db.begin() as connection:
            connection.execute(outbox.update().where(outbox.c.id == row_id).values(**values))

    def pending(self) -> int:
        """How many messages wait."""
        with self._db.read() as connection:
            query = sa.select(sa.func.count()).where(outbox.c.state == "pending")
            return int(connection.execute(query).scalar_one())

    def last_written(self) -> dict[tuple[str, str], LastWritten]:
        """When each (fingerprint, channel) was last given a message, and whether one waits: re-sending goes by it."""
        waiting = sa.func.max(sa.case((outbox.c.state == "pending", 1), else_=0)).label("pending")
        last = sa.func.max(outbox.c.created_at).label("at")
        query = sa.select(outbox.c.fingerprint, outbox.c.channel, last, waiting)
        query = query.group_by(outbox.c.fingerprint, outbox.c.channel)
        with self._db.read() as connection:
            rows = connection.execute(query)
            return {(row.fingerprint, row.channel): LastWritten(row.at, bool(row.pending)) for row in rows}

    def newest(self, fingerprint: str, channel: str) -> tuple[LastWritten, Mapping[str, Any]] | None:
        """When an alert's last message to a channel was written, and its body; None where there is none."""
        query = sa.select(outbox).where(outbox.c.fingerprint == fingerprint, outbox.c.channel == channel)
        with self._db.read() as connection:
            row = connection.execute(query.order_by(outbox.c.id.desc()).limit(1)).first()
        if row is None:
            return None
        return LastWritten(row.created_at, row.state == "pending"), row.body

    def deliveries(self, fingerprint: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """What was sent where, newest first."""
        shown = (outbox.c.key, outbox.c.channel, outbox.c.fingerprint, outbox.c.state, outbox.c.attempts)
        query = sa.select(*shown, outbox.c.created_at, outbox.c.ended_at, outbox.c.last_error)
        if fingerprint is not None:
            query = query.where(outbox.c.fingerprint == fingerprint)
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(outbox.c.id.desc()).limit(limit))
            return [dict(row._mapping) for row in rows]

    def prune(self, before: datetime) -> int:
        """Drop messages that ended before then, but the last of each alert and channel."""
        newest = sa.select(sa.func.max(outbox.c.id)).group_by(outbox.c.fingerprint, outbox.c.channel)
        with self._db.begin() as connection:
            old = outbox.delete().where(outbox.c.ended_at < before, outbox.c.id.not_in(newest))
            return connection.execute(old).rowcount
