"""A database URL -> connections that speak UTC, fail as StoreUnavailable, and a schema brought up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from seamark.core.errors import CatalogNewer, Invalid, StartRefused, StoreUnavailable
from seamark.shipped import shipped

# Lost, locked, full: trying again may help. A rule of the schema that says no, or a wrong query, is not among them.
_AWAY = (OperationalError, InterfaceError, PoolTimeout)
# A value no column takes: a NUL, a lone surrogate, a name that is too long.
_UNFIT = (DataError, UnicodeEncodeError)

_UPGRADE_LOCK = 7_362_001  # any number; the same for every node


class Database:
    """An engine and its two ways in: `read()` and `begin()`, both mapping lost databases to StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self.url = sa.engine.make_url(url)
        if self.url.drivername in ("postgres", "postgresql"):
            self.url = self.url.set(drivername="postgresql+psycopg")
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise StartRefused(f"the catalog is kept in SQLite or PostgreSQL, not in {self.url.get_backend_name()}")
        self.engine = (
            _sqlite(self.url)
            if self.is_sqlite
            else sa.create_engine(self.url, json_serializer=_json, pool_pre_ping=True)
        )

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded kind."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back on any error."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except _AWAY as error:
            raise StoreUnavailable(f"the catalog did not answer: {_first_line(error)}") from error
        except _UNFIT as error:
            raise Invalid(f"the catalog cannot hold this: {_first_line(error)}") from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reads; nothing is committed."""
        try:
            with self.engine.connect().execution_options(seamark_reads=True) as connection:
                yield connection
        except _AWAY as error:
            raise StoreUnavailable(f"the catalog did not answer: {_first_line(error)}") from error
        except _UNFIT as error:
            raise Invalid(f"the catalog cannot look for this: {_first_line(error)}") from error

    def insert(self, table: sa.Table) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, of this database's dialect."""
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self.is_sqlite else postgresql).insert(table)

    def current_revision(self) -> str | None:
        """The schema's revision; None for an empty database."""
        with self.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the schema to the newest revision this Seamark knows; return (before, after).

        A revision this Seamark does not know was written by a newer one: CatalogNewer, and nothing is changed.
        """
        with self.begin() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            before = MigrationContext.configure(connection).get_current_revision()
            config, head = _migrations()
            _refuse_newer(before, config, head)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, head

    def require_current(self) -> None:
        """Refuse to start on a schema that is not the newest this Seamark knows."""
        before, (config, head) = self.current_revision(), _migrations()
        _refuse_newer(before, config, head)
        if before != head:
            raise StartRefused(
                f"the catalog is at {before or 'nothing'}, this Seamark needs {head}: run `seamark db upgrade`"
            )

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


class Leadership:
    """Which of several workers runs what only one may run: whoever holds a lock of the database.

    On the embedded SQLite there is one process, which leads. On PostgreSQL the lock lives as long as its connection:
    a leader that dies or is cut off loses it, and another takes over at its next tick.
    """

    def __init__(self, database: Database, key: int) -> None:
        self._db, self._key = database, key
        self._held: sa.Connection | None = None

    def holds(self) -> bool:
        """Whether this process leads now; takes the lead where it is free."""
        if self._db.is_sqlite:
            return True
        try:
            if self._held is None:
                connection = self._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                query = sa.text("SELECT pg_try_advisory_lock(:key)")
                if not connection.execute(query, {"key": self._key}).scalar():
                    connection.close()
                    return False
                self._held = connection
            self._held.execute(sa.text("SELECT 1"))
        except DBAPIError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the lead away, if held."""
        held, self._held = self._held, None
        if held is not None:
            held.invalidate()  # closes the session, and with it the lock
            held.close()


# Without the blanks that Python puts after commas: a tenth of what is kept.
_json = json.JSONEncoder(separators=(",", ":")).encode


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, json_serializer=_json, connect_args={"timeout": 10, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's late one
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another writer came first.
        reads = connection.get_execution_options().get("seamark_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _migrations() -> tuple[AlembicConfig, str]:
    config = AlembicConfig()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None, "the migrations folder is empty"
    return config, head


def _refuse_newer(revision: str | None, config: AlembicConfig, head: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise CatalogNewer(
            f"the catalog is at revision {revision}, which this Seamark (newest known: {head}) does not know: "
            "it was written by a newer Seamark. Start that version, or restore a backup from before it"
        )


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
