"""A lake that others may write too, or in an object store: over DuckDB's extension for DuckLake.

Rows become Parquet files, registered in SQL transactions, and Arrow tables again. A lake in a folder of this process
alone is store/local_lake.py's: the same format, and much faster.

Appends are the only concurrent writers: DuckLake lets them commute, while deleting and merging run one after the other
in one maintainer: the one that holds `_maintaining` in this process and the advisory lock on a PostgreSQL catalog. What
it does is in store/upkeep.py.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import psycopg
import pyarrow as pa

from seamark.core.errors import StoreUnavailable
from seamark.store.duckdb_session import Session
from seamark.store.lake import CommitFailed, LakeHealth, Within
from seamark.store.lake_connection import Place, connect, reaching, remove_spill
from seamark.store.lake_schema import VERSION_TABLE, bring_up_to_date, conform, stored_form
from seamark.store.parquet import remove_files, write_durably
from seamark.store.upkeep import Keep, Upkeep

_ADVISORY_KEY = 0x5EA_3A2C_1A4E  # any number that nobody else locks


class DuckLake:
    """A Lake (store/lake.py) on a Place. A broken connection is given up and opened anew by the next call."""

    def __init__(self, place: Place, keep: Keep | None = None) -> None:
        """`keep.unused_files_s` must be longer than the longest query of any node, which may still read the files of
        its snapshot.
        """
        self._place = place
        self._writing = threading.Lock()
        self._maintaining = threading.Lock()
        self._session = Session(place, connect)
        self._upkeep = Upkeep(self, place, self._writing, keep or Keep())

    def open(self) -> None:
        """Attach the lake and bring its tables up to date; StartRefused, CatalogNewer or StoreUnavailable if not."""
        with self._catalog_lock(wait=True):
            root = connect(self._place)
            try:
                with reaching(self._place):
                    bring_up_to_date(root)
            except BaseException:
                root.close()
                raise
            self._session.use(root)

    def append(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """See Lake.append. Invalid where a table does not fit core/records.py."""
        rows = conform(tables)
        if rows:
            with self._writing:
                self._store(rows)
        return rows

    def may_repeat(self, start: datetime, end: datetime) -> bool:
        """See Lake.may_repeat: several nodes may write, and none knows what the others stored."""
        return True

    def _store(self, rows: Mapping[str, pa.Table]) -> None:
        stored = {name: stored_form(name, table) for name, table in rows.items()}
        folder = self._place.folder
        if folder is None:
            # DuckDB writes to the object store itself; what a failure leaves there is swept as an orphan.
            self.commit(lambda cursor: _insert(cursor, stored))
        else:
            self._register(_write(folder, stored))

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        within: Within | None = None,
        of_trace: int | None = None,
    ) -> pa.Table:
        """See Lake.query. Values go into `parameters` (`?` or `$name`), never into `sql`, from which DuckLake itself
        sees which files it needs.
        """
        return self._session.query(sql, parameters)

    def maintain(self, at: datetime, keep_days: float | None) -> bool:
        """See Lake.maintain. Does nothing while another process or thread maintains the same lake."""
        if not self._maintaining.acquire(blocking=False):
            return False
        try:
            with self._catalog_lock(wait=False) as mine:
                return mine and self._upkeep.step(at, keep_days)
        finally:
            self._session.mark()
            self._maintaining.release()

    def health(self) -> LakeHealth:
        """See Lake.health."""
        found = self.query(
            "SELECT coalesce(sum(file_count), 0)::BIGINT AS files, coalesce(sum(file_size_bytes), 0)::BIGINT AS bytes"
            " FROM ducklake_table_info('lake') WHERE table_name != ?",
            [VERSION_TABLE],
        ).to_pylist()[0]
        folder = self._place.folder
        free_bytes = shutil.disk_usage(folder).free if folder is not None else None
        return LakeHealth(found["files"], found["bytes"], free_bytes)

    def close(self) -> None:
        """Wait for a running append and a running step of upkeep, then close."""
        with self._maintaining, self._writing:
            if self._session.close():
                remove_spill(self._place)

    @contextmanager
    def _catalog_lock(self, *, wait: bool) -> Iterator[bool]:
        """Hold the one lock among all processes on this catalog; yields whether it is held. SQLite has one process."""
        if self._place.postgres_dsn is None:
            yield True
            return
        try:
            connection = psycopg.connect(self._place.postgres_dsn, autocommit=True)
        except psycopg.Error as error:
            raise StoreUnavailable(f"the lake's catalog cannot be reached: {self._place.scrub(error)}") from None
        try:
            function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
            row = connection.execute(f"SELECT {function}(%s)", [_ADVISORY_KEY]).fetchone()
            yield wait or bool(row and row[0])
        except psycopg.Error as error:
            raise StoreUnavailable(f"the lake's catalog did not answer: {self._place.scrub(error)}") from None
        finally:
            connection.close()

    # --- writing -------------------------------------------------------------------------------------------------

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Do `work` in one transaction; CommitFailed where only COMMIT knows how it ended."""
        with self._session.cursor() as cursor:
            cursor.execute("BEGIN")
            work(cursor)
            try:
                cursor.execute("COMMIT")
            except duckdb.Error as error:
                raise CommitFailed(f"the lake did not commit: {self._place.scrub(error)}") from None

    def _register(self, files: Mapping[str, Path]) -> None:
        try:
            self.commit(lambda cursor: _add_files(cursor, files))
        except CommitFailed:
            # PostgreSQL may be committing still, although the connection is lost: removing a file it then registers
            # would make its table unreadable. If it was not registered, it is swept as an orphan a day later.
            raise
        except Exception:
            remove_files(files.values())
            raise

    def still_read(self) -> bool:
        """Whether a query or commit runs that began before the last step of upkeep ended."""
        return self._session.still_running()


def _write(folder: Path, rows: Mapping[str, pa.Table]) -> dict[str, Path]:
    """Write one new file per table below `folder`, where DuckLake expects its files; all of them or none."""
    files: dict[str, Path] = {}
    try:
        for name, table in rows.items():
            files[name] = folder / "main" / name / f"{uuid4()}.parquet"
            write_durably(files[name], table)
    except OSError as error:
        remove_files(files.values())
        raise StoreUnavailable(f"the lake's disk did not take the rows: {error.strerror or error}") from error
    except BaseException:
        remove_files(files.values())
        raise
    return files


def _add_files(cursor: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        cursor.execute("CALL ducklake_add_data_files('lake', ?, ?)", [name, str(path)])


def _insert(cursor: duckdb.DuckDBPyConnection, rows: Mapping[str, pa.Table]) -> None:
    for name, table in rows.items():
        cursor.register("incoming", table)
        cursor.execute(f'INSERT INTO lake."{name}" BY NAME SELECT * FROM incoming')
        cursor.unregister("incoming")
