"""API keys: their hashes, scopes and whether they are still good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from seamark.core.errors import NotFound
from seamark.store.catalog.database import Database
from seamark.store.catalog.tables import api_keys


@dataclass(frozen=True)
class KeyRecord:
    """One key as the catalog holds it: never the key itself."""

    id: str
    hash: str
    scope: str
    model: str | None
    created_at: datetime
    revoked_at: datetime | None


class Keys:
    """Keys by id."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def any(self) -> bool:
        """Whether any key was ever made: from then on every call needs one, revoked or not."""
        with self._db.read() as connection:
            return connection.execute(sa.select(api_keys.c.id).limit(1)).scalar() is not None

    def by_id(self, key_id: str) -> KeyRecord | None:
        """One key, or None."""
        with self._db.read() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).first()
        return KeyRecord(**row._mapping) if row else None

    def all(self) -> list[KeyRecord]:
        """Every key, oldest first."""
        with self._db.read() as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))
            return [KeyRecord(**row._mapping) for row in rows]

    def add(self, record: KeyRecord) -> None:
        """Write a new key."""
        with self._db.begin() as connection:
            connection.execute(api_keys.insert().values(**vars(record)))

    def revoke(self, key_id: str, at: datetime) -> None:
        """Make a key worthless from now on; NotFound where there is none of that id."""
        with self._db.begin() as connection:
            done = connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(revoked_at=at)).rowcount
        if not done:
            raise NotFound(f"there is no key {key_id[:32]!r}; `seamark keys list` shows them")
