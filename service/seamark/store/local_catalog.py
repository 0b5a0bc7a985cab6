"""The catalog of a lake in a folder of ours: the tables of DuckLake 1.0 in SQLite, written as its specification says.

DuckDB's extension asks and tells the same tables, and reads what is written here; it takes 24 ms for what is one
transaction of under a millisecond here, and plans every read by SQL, while this process, the only one that writes,
knows the files by heart. The specification: https://ducklake.select/docs/stable/specification/introduction

SQLite must be one copy of its library for a file in a process, for a second one does not see the first one's locks:
while a LocalCatalog is open, DuckDB must not attach the same file.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from seamark.core.errors import StartRefused, StoreUnavailable
from seamark.core.records import TIME_COLUMN
from seamark.store.lake import CommitFailed
from seamark.store.lake_connection import Place
from seamark.store.lake_schema import STORED
from seamark.store.merging import DataFile
from seamark.store.new_file import NewFile
from seamark.store.trace_index import remove_index

_LOG = logging.getLogger(__name__)

VERSION = "1.0"  # of DuckLake's catalog
_LIVE = "end_snapshot IS NULL"
_NOW = "strftime('%Y-%m-%d %H:%M:%f+00', 'now')"
_STATS = "ducklake_file_column_stats"

Live = Mapping[str, tuple[DataFile, ...]]


class NeedsDuckDB(Exception):
    """The catalog is new, or holds what only DuckDB's extension can turn into whole data files."""


@dataclass(frozen=True)
class _Table:
    table_id: int
    folder: str  # below the data folder, with a trailing slash
    columns: Mapping[str, int]  # of the top level
    time_column: str | None
    changed: int  # the snapshot of its latest column
    schema: pa.Schema  # with the columns' numbers, by which DuckDB finds them in a file


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
        self._tables: dict[str, _Table] = {}
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
            self._forget_ranges()

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
                new = self._write(facts, gone)
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
            old = [number for number, at in found if at < _text(before)]
            if not old:
                return False
            self._begin()
            with self._rolled_back():
                self._execute("DELETE FROM ducklake_snapshot WHERE snapshot_id <= ?", [max(old)])
                self._execute("DELETE FROM ducklake_snapshot_changes WHERE snapshot_id <= ?", [max(old)])
                self._schedule_unnamed()
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
                self._many(
                    "DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id = ?",
                    [(number,) for number in unnamed],
                )
                self._execute("COMMIT")

    def named(self) -> set[Path]:
        """Return every file that some snapshot names or that waits for its deletion."""
        with self._lock, self._telling():
            folders = {table.table_id: table.folder for table in self._tables.values()}
            rows = self._execute("SELECT table_id, path, path_is_relative FROM ducklake_data_file").fetchall()
            paths = {
                self._folder / folders[number] / path if relative else Path(path)
                for number, path, relative in rows
                if number in folders or not relative
            }
            return paths | {path for _, path in self.unnamed()} | set(self._doubtful)

    # --- reading -------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read everything anew."""
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
        inlined = [name for (name,) in self._execute("SELECT table_name FROM ducklake_inlined_data_tables")]
        for name in ["ducklake_delete_file", *inlined]:
            if self._execute(f'SELECT 1 FROM "{name}" WHERE {_LIVE} LIMIT 1').fetchone():
                raise NeedsDuckDB
        self._tables = dict(self._read_tables())
        self._live = {name: tuple(self._read_files(table)) for name, table in self._tables.items()}
        self._data_version = version

    def _read_tables(self) -> Iterator[tuple[str, _Table]]:
        rows = self._execute(
            "SELECT t.table_id, t.table_name, s.path || t.path FROM ducklake_table t JOIN ducklake_schema s"
            f" USING (schema_id) WHERE t.{_LIVE} AND s.{_LIVE} AND t.path_is_relative AND s.path_is_relative"
        ).fetchall()
        for table_id, name, folder in rows:
            found = self._execute(
                "SELECT column_id, column_name, parent_column, begin_snapshot FROM ducklake_column"
                f" WHERE table_id = ? AND {_LIVE}",
                [table_id],
            ).fetchall()
            columns = {column: number for number, column, parent, _ in found if parent is None}
            inner = {parent: number for number, _, parent, _ in found if parent is not None}
            schema = _numbered(STORED[name], columns, inner) if name in STORED else pa.schema([])
            changed = max(begin for *_, begin in found)
            yield name, _Table(table_id, folder, columns, TIME_COLUMN.get(name), changed, schema)

    def _read_files(self, table: _Table) -> Iterator[DataFile]:
        rows = self._execute(
            "SELECT f.data_file_id, f.path, f.path_is_relative, f.record_count, f.file_size_bytes, f.begin_snapshot,"
            f" s.min_value, s.max_value FROM ducklake_data_file f LEFT JOIN {_STATS} s"
            f" ON s.data_file_id = f.data_file_id AND s.column_id = ? WHERE f.table_id = ? AND f.{_LIVE}"
            " ORDER BY f.data_file_id",
            [table.columns.get(table.time_column or ""), table.table_id],
        )
        for number, path, relative, count, size, begin, first, last in rows:
            whole = str(self._folder / table.folder / path) if relative else path
            yield DataFile(whole, count, size, *_range(first, last), number, begin >= table.changed)

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

    # --- writing -------------------------------------------------------------------------------------------------

    def _write(
        self, added: Sequence[tuple[str, NewFile]], gone: Sequence[tuple[str, DataFile]]
    ) -> list[tuple[str, DataFile]]:
        snapshot, schema_version, next_catalog, next_file = self._execute(
            "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot"
            " WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)"
        ).fetchone()
        snapshot += 1
        for table, file in gone:
            self._remove(self._tables[table], file, snapshot)
        new = []
        for number, (table, facts) in enumerate(added, next_file):
            self._add(self._tables[table], facts, snapshot, number)
            new.append((table, replace(facts.file, file_id=number)))
        self._execute(
            f"INSERT INTO ducklake_snapshot VALUES (?, {_NOW}, ?, ?, ?)",
            [snapshot, schema_version, next_catalog, next_file + len(added)],
        )
        changes = [f"inserted_into_table:{number}" for number in sorted({self._tables[t].table_id for t, _ in added})]
        changes += [f"deleted_from_table:{number}" for number in sorted({self._tables[t].table_id for t, _ in gone})]
        self._execute(
            "INSERT INTO ducklake_snapshot_changes VALUES (?, ?, NULL, NULL, NULL)", [snapshot, ",".join(changes)]
        )
        return new

    def _remove(self, table: _Table, file: DataFile, snapshot: int) -> None:
        done = self._execute(
            f"UPDATE ducklake_data_file SET end_snapshot = ? WHERE data_file_id = ? AND {_LIVE}",
            [snapshot, file.file_id],
        )
        if done.rowcount != 1:
            raise StoreUnavailable(f"another program has replaced {file.path}: left as it was")
        self._count(table, -file.rows, -file.file_bytes, 0)

    def _add(self, table: _Table, facts: NewFile, snapshot: int, number: int) -> None:
        file = facts.file
        self._count(table, file.rows, file.file_bytes, file.rows)
        self._execute(
            "INSERT INTO ducklake_data_file VALUES (?, ?, ?, NULL, NULL, ?, 1, 'parquet', ?, ?, ?,"
            " (SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?) - ?, NULL, NULL, NULL, NULL)",
            [
                *(number, table.table_id, snapshot, Path(file.path).name),
                *(file.rows, file.file_bytes, facts.footer_bytes, table.table_id, file.rows),
            ],
        )
        rows = [
            (number, table.table_id, table.columns[column.name], column.size, file.rows, column.nulls)
            + (_texts(file) if column.name == table.time_column else (None, None))
            for column in facts.columns
            if column.name in table.columns
        ]
        self._many(f"INSERT INTO {_STATS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", rows)

    def _count(self, table: _Table, rows: int, size: int, numbered: int) -> None:
        done = self._execute(
            "UPDATE ducklake_table_stats SET record_count = record_count + ?, file_size_bytes = file_size_bytes + ?,"
            " next_row_id = next_row_id + ? WHERE table_id = ?",
            [rows, size, numbered, table.table_id],
        )
        if not done.rowcount:
            self._execute(
                "INSERT INTO ducklake_table_stats VALUES (?, ?, ?, ?)", [table.table_id, rows, numbered, size]
            )

    def _forget_ranges(self) -> None:
        """Say "unknown" for the least and greatest value of whole tables, which are not kept up to date here.

        Who reads the lake with DuckDB would otherwise be told that nothing lies beyond them.
        """
        table = "ducklake_table_column_stats"
        known = f"SELECT count(*) FROM {table} WHERE min_value IS NULL AND max_value IS NULL AND contains_null IS NULL"
        wanted = f"SELECT table_id, column_id, NULL, NULL, NULL, NULL, NULL FROM ducklake_column WHERE {_LIVE}"
        [(right,)], [(all_of,)] = self._execute(known).fetchall(), self._execute(f"SELECT count(*) FROM ({wanted})")
        if right == all_of:
            return
        self._begin()
        with self._rolled_back():
            self._execute(f"DELETE FROM {table}")
            self._execute(f"INSERT INTO {table} {wanted}")
            self._execute("COMMIT")

    def _schedule_unnamed(self) -> None:
        """Move files that no snapshot names to those that are to be deleted."""
        unnamed = "end_snapshot <= (SELECT min(snapshot_id) FROM ducklake_snapshot)"
        self._execute(
            "INSERT INTO ducklake_files_scheduled_for_deletion SELECT f.data_file_id,"
            " CASE WHEN f.path_is_relative THEN s.path || t.path || f.path ELSE f.path END, f.path_is_relative,"
            f" {_NOW} FROM ducklake_data_file f JOIN ducklake_table t USING (table_id) JOIN ducklake_schema s"
            f" USING (schema_id) WHERE f.{unnamed}"
        )
        # One pass over each table: the catalog has no index for more.
        numbers = f"SELECT data_file_id FROM ducklake_data_file WHERE {unnamed}"
        self._execute(f"DELETE FROM {_STATS} WHERE data_file_id IN ({numbers})")
        self._execute(f"DELETE FROM ducklake_data_file WHERE {unnamed}")

    # --- the connection ------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")  # reading does not lock writers out
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        self._connection = connection

    def _execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if self._connection is None:
            raise StoreUnavailable("the lake's catalog is not open")
        return self._connection.execute(sql, values)

    def _many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if self._connection is None:
            raise StoreUnavailable("the lake's catalog is not open")
        self._connection.executemany(sql, rows)

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
                raise StoreUnavailable("another program has changed rows of this lake: restart the service") from None
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reopen(self) -> None:
        self._disconnect()
        with suppress(sqlite3.Error):
            self._connect()
            self._data_version = -1  # read everything anew

    def _after_failure(self, error: sqlite3.Error, added: Sequence[tuple[str, NewFile]]) -> None:
        """Return where COMMIT has failed but its rows are there; else raise."""
        self._roll_back()
        if _is_busy(error):
            raise error
        self._reopen()
        paths = [Path(facts.file.path) for _, facts in added]
        with suppress(sqlite3.Error):
            self._load()
            known = {file.path for files in self._live.values() for file in files}
            if paths and all(str(path) in known for path in paths):
                return
            if not paths or _is_full(error):
                raise error
        self._doubtful += paths
        raise CommitFailed(f"the lake did not commit: {error}")

    def _drop_doubtful(self) -> None:
        """Delete the files of failed commits: their traces in the write-ahead log are now overwritten."""
        for path in self._doubtful:
            _LOG.warning("removed %s: it was never committed", path)
            path.unlink(missing_ok=True)
            remove_index(path)
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


def _numbered(schema: pa.Schema, columns: Mapping[str, int], inner: Mapping[int, int]) -> pa.Schema:
    """Return the schema with the catalog's numbers of its columns, and of the values of lists."""
    fields = []
    for field in schema:
        number, kind = columns[field.name], field.type
        if pa.types.is_list(kind):
            kind = pa.list_(kind.value_field.with_metadata({"PARQUET:field_id": str(inner[number])}))
        fields.append(field.with_type(kind).with_metadata({"PARQUET:field_id": str(number)}))
    return pa.schema(fields)


def _text(at: datetime) -> str:
    """Return an instant as DuckLake writes one."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _texts(file: DataFile) -> tuple[str | None, str | None]:
    if file.first_at is None or file.last_at is None:
        return None, None
    return _text(file.first_at), _text(file.last_at)


def _range(first: str | None, last: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the instants of two texts; None for both where one is none that Python knows, or not there."""
    if first is None or last is None:
        return None, None
    try:
        return datetime.fromisoformat(first).astimezone(UTC), datetime.fromisoformat(last).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, None


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
