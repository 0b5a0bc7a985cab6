"""The catalog of a lake in a folder of ours: the tables of DuckLake 1.0 in SQLite, written as its specification says.

DuckDB's extension asks and tells the same tables, and reads what is written here; it takes 24 ms for what is one
transaction of under a millisecond here, and plans every read by SQL, while this process, the only one that writes,
knows the files by heart. The specification: https://ducklake.select/docs/stable/specification/introduction

SQLite must be one copy of its library for a file in a process, for a second one does not see the first one's locks:
while a LocalCatalog is open, DuckDB must not attach the same file.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import takewhile
from pathlib import Path

import pyarrow as pa

from seamark.core.errors import StartRefused, StoreUnavailable
from seamark.store.ducklake_tables import (
    VERSION,
    NeedsDuckDB,
    Table,
    forget_ranges,
    is_before,
    is_whole,
    knows_ranges,
    named_files,
    read_files,
    read_tables,
    schedule_unnamed,
    write_snapshot,
)
from seamark.store.lake import CommitFailed
from seamark.store.lake_connection import Place
from seamark.store.lake_schema import STORED
from seamark.store.merging import DataFile
from seamark.store.new_file import NewFile
from seamark.store.trace_index import remove_data_file

_LOG = logging.getLogger(__name__)

Live = Mapping[str, tuple[DataFile, ...]]


class RowsChanged(StoreUnavailable):
    """Another program changed rows in a way that only DuckDB's extension can turn into whole data files."""


class LocalCatalog:
    """Which files a lake has. Any thread may ask; whoever changes it waits for the other."""

    def __init__(self, place: Place, busy_timeout_ms: int) -> None:
        """`place` has a data folder and a SQLite catalog."""
        assert place.folder is not None
        self._path = place.catalog.removeprefix("sqlite:")
        self._folder = place.folder
        self._place = place
        self._busy_timeout_ms = busy_timeout_ms
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = True
        self._data_version = -1
        self._tables: dict[str, Table] = {}
        self._live: Live = {}
        self._doubtful: list[Path] = []  # files of commits that only the disk knows the end of

    def open(self) -> None:
        """Read which files live; NeedsDuckDB, StartRefused where the lake lies elsewhere, StoreUnavailable."""
        if not Path(self._path).exists():
            raise NeedsDuckDB
        with self._lock, self._telling():
            self._closed = False
            self._connect()
            self._load()
            if knows_ranges(self._open()):
                self._begin()
                with self._rolled_back():
                    forget_ranges(self._open())
                    self._execute("COMMIT")

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def live(self) -> Live:
        """Return the files of every table, as of the latest commit; an instant's truth, never changed later."""
        if self._lock.acquire(blocking=False):
            try:
                with self._telling():
                    self._refresh()
            finally:
                self._lock.release()
        return self._live

    def schema(self, table: str) -> pa.Schema:
        """Return the columns of a table as its files must be written."""
        return self._tables[table].schema

    def path_for(self, table: str, name: str) -> Path:
        """Return where a new data file of that name belongs."""
        return self._folder / self._tables[table].folder / name

    def commit(
        self, added: Mapping[str, Sequence[NewFile]], removed: Mapping[str, Sequence[DataFile]] | None = None
    ) -> None:
        """Make files live and others not, all at once; durable when it returns.

        StoreUnavailable: nothing has changed. CommitFailed: the disk failed while it was written, and what is true will
        be known after a restart; the files must stay, and are removed here once they are known to be nobody's.
        """
        facts = [(table, file) for table, files in added.items() for file in files]
        gone = [(table, file) for table, files in (removed or {}).items() for file in files]
        with self._lock, self._telling():
            self._begin()
            with self._rolled_back():
                new = write_snapshot(self._open(), self._tables, facts, gone)
            try:
                self._execute("COMMIT")
            except sqlite3.Error as error:
                self._after_failure(error, facts)
            else:
                self._live = _changed(self._live, new, gone)
            self._drop_doubtful()

    def expire(self, before: datetime, at_most: int) -> bool:
        """Forget the oldest snapshots that were made `before`, and plan the deletion of files only they named.

        Return whether there may be more than `at_most`.
        """
        with self._lock, self._telling():
            found = self._execute(
                "SELECT snapshot_id, snapshot_time FROM ducklake_snapshot WHERE snapshot_id <"
                " (SELECT max(snapshot_id) FROM ducklake_snapshot) ORDER BY snapshot_id LIMIT ?",
                [at_most],
            ).fetchall()
            old = [number for number, _ in takewhile(lambda row: is_before(row[1], before), found)]
            if not old:
                return False
            self._begin()
            with self._rolled_back():
                self._execute("DELETE FROM ducklake_snapshot WHERE snapshot_id <= ?", [max(old)])
                self._execute("DELETE FROM ducklake_snapshot_changes WHERE snapshot_id <= ?", [max(old)])
                schedule_unnamed(self._open())
                self._execute("COMMIT")
            return len(found) == at_most == len(old)

    def unnamed(self) -> list[tuple[int, Path]]:
        """Return the files that no snapshot names any more and that are still to be deleted, by number."""
        with self._lock, self._telling():
            rows = self._execute(
                "SELECT data_file_id, path, path_is_relative FROM ducklake_files_scheduled_for_deletion"
            )
            return [(number, self._folder / path if relative else Path(path)) for number, path, relative in rows]

    def forget(self, unnamed: Iterable[int]) -> None:
        """Take deleted files from unnamed()."""
        with self._lock, self._telling():
            self._begin()
            with self._rolled_back():
                self._open().executemany(
                    "DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id = ?",
                    [(number,) for number in unnamed],
                )
                self._execute("COMMIT")

    def named(self) -> set[Path]:
        """Return every file that some snapshot names or that waits for its deletion."""
        with self._lock, self._telling():
            return self._named() | set(self._doubtful)

    def _named(self) -> set[Path]:
        return named_files(self._open(), self._folder, self._tables) | {path for _, path in self.unnamed()}

    # --- reading -------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read everything anew, all of it as of one instant."""
        if self._open().in_transaction:
            self._read()
            return
        self._execute("BEGIN")
        try:
            self._read()
        finally:
            self._roll_back()

    def _read(self) -> None:
        names = {name for (name,) in self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "ducklake_metadata" not in names:
            raise NeedsDuckDB
        facts = dict(self._execute("SELECT key, value FROM ducklake_metadata WHERE scope IS NULL").fetchall())
        if facts.get("version") != VERSION:
            raise NeedsDuckDB  # which leads an older one up, and refuses a newer one with its own words
        if not self._place.movable and facts.get("data_path") != self._place.data_path:
            raise StartRefused(
                f"SEAMARK_LAKE: this catalog's lake lies in {facts.get('data_path')}, elsewhere than"
                f" {self._place.data_path}"
            )
        version = self._version()
        if not is_whole(self._open(), names):
            raise NeedsDuckDB
        tables = dict(read_tables(self._open()))
        if not set(STORED) <= set(tables):
            raise NeedsDuckDB  # an older lake
        self._tables = tables
        self._live = {
            name: tuple(read_files(self._open(), self._folder, table)) for name, table in self._tables.items()
        }
        self._data_version = version

    def _refresh(self) -> None:
        if self._closed:
            raise StoreUnavailable("the lake is closed")
        if self._connection is None:
            self._connect()
            self._load()
        elif self._version() != self._data_version:  # another program has committed
            self._load()

    def _version(self) -> int:
        return int(self._execute("PRAGMA data_version").fetchone()[0])

    # --- the connection ------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        connection = sqlite3.connect(
            f"{Path(self._path).as_uri()}?mode=rw",  # a missing one is not made
            uri=True,
            timeout=self._busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA journal_mode = WAL")  # reading does not lock writers out
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        self._connection = connection
        self._data_version = -1  # everything is to be read anew

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable("the lake's catalog is not open")
        return self._connection

    def _execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._open().execute(sql, values)

    def _begin(self) -> None:
        """Begin to write, knowing everything that is committed."""
        self._refresh()
        self._execute("BEGIN IMMEDIATE")
        with self._rolled_back():
            self._refresh()

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error, StoreUnavailable):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Raise what SQLite raises as StoreUnavailable, and open the file anew next time."""
        try:
            yield
        except sqlite3.Error as error:
            self._roll_back()
            if not _is_busy(error):
                self._reopen()
            raise StoreUnavailable(f"the lake's catalog did not answer: {error}") from error
        except NeedsDuckDB:
            if self._tables:
                raise RowsChanged(
                    "another program has deleted rows of this lake; its files are rewritten first"
                ) from None
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reopen(self) -> None:
        self._disconnect()
        with suppress(sqlite3.Error):
            self._connect()

    def _after_failure(self, error: sqlite3.Error, added: Sequence[tuple[str, NewFile]]) -> None:
        """Return where COMMIT has failed but its rows are there, and on the disk; else raise."""
        self._roll_back()
        if _is_busy(error):
            raise error
        paths = [Path(facts.file.path) for _, facts in added]
        try:
            self._disconnect()
            self._connect()
            self._load()
            known = {file.path for files in self._live.values() for file in files}
            there = bool(paths) and all(str(path) in known for path in paths)
            # What was read may be in the system's memory alone.
            if there and self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                return
        except Exception as other:
            self._doubtful += paths
            raise CommitFailed(f"the lake did not commit: {error}; then: {other}") from other
        if not there and (not paths or _is_full(error)):
            raise error
        self._doubtful += paths
        raise CommitFailed(f"the lake did not commit: {error}")

    def _drop_doubtful(self) -> None:
        """Delete the files of failed commits that the catalog does not name: its log no longer does either."""
        if not self._doubtful:
            return
        try:
            named = self._named()
        except (sqlite3.Error, StoreUnavailable) as error:
            _LOG.warning("files of failed commits stay for now: %s", error)
            return
        for path in set(self._doubtful) - named:
            _LOG.warning("removed %s: it was never committed", path)
            remove_data_file(path)
        self._doubtful = []


def _changed(
    live: Live, new: Sequence[tuple[str, DataFile]], gone: Sequence[tuple[str, DataFile]]
) -> dict[str, tuple[DataFile, ...]]:
    changed = dict(live)
    for table in {table for table, _ in (*new, *gone)}:
        left = {file.file_id for name, file in gone if name == table}
        kept = tuple(file for file in changed.get(table, ()) if file.file_id not in left)
        changed[table] = kept + tuple(file for name, file in new if name == table)
    return changed


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
