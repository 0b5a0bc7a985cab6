"""Faults of a local lake's catalog, put between the lake and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seamark.store.local_lake import LocalLake


class _FailingConnection:
    """A connection whose COMMIT fails, after or instead of committing."""

    def __init__(self, connection: sqlite3.Connection, *, after: bool) -> None:
        self._connection = connection
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return self._connection.execute(sql, values)
        if self._after:
            self._connection.execute(sql)
        raise sqlite3.OperationalError("the connection broke")


@contextmanager
def failing_commits(lake: LocalLake, *, after: bool) -> Iterator[None]:
    """Let commits report failure until the catalog opens its file anew, as it does then."""
    catalog = lake._catalog
    catalog._connection = _FailingConnection(catalog._connection, after=after)  # type: ignore[arg-type,assignment]
    yield
    assert isinstance(catalog._connection, sqlite3.Connection), "nothing has committed"
