"""Many small and old files of a DuckLake -> few, and free disk: one bounded step at a time, beside what arrives.

A file is rewritten with no lock and no transaction open; only its swap for those it replaces is a commit, as short as
an append's. DuckLake's own merge holds its transaction open while it writes, which on SQLite fails as soon as a row
arrives meanwhile, and does not sync what it writes. It is used on PostgreSQL, where a transaction that deletes
conflicts with every append meanwhile but a merge does not, and in object stores, where DuckDB writes the files.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import duckdb
import pyarrow as pa

from seamark.core.errors import StoreUnavailable
from seamark.core.records import TABLES, TIME_COLUMN
from seamark.store.lake import CommitFailed
from seamark.store.lake_connection import METADATA_SCHEMA, Place, quoted
from seamark.store.merging import DataFile, merge_files, next_group, read_facts

_LOG = logging.getLogger(__name__)

_SNAPSHOTS_PER_STEP = 500
_DELETE_TRIES = 10
_ORPHANS_KEEP_S = 86400.0
# Of DuckLake's own merge.
_MERGE_BELOW_BYTES = 8 * 1024 * 1024  # larger files are left as they are: nothing is rewritten over and over
_MERGES_PER_TABLE = 1  # files written by one step, each of at most target_file_size
_NICENESS = 10  # of the thread that rewrites: it takes the processor time that nobody else wants


class Commits(Protocol):
    """What upkeep needs of its lake."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table: ...

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None: ...

    def is_registered(self, table: str, path: Path) -> bool: ...

    def still_read(self) -> bool:
        """Whether a query runs that began before the last step ended."""
        ...


@dataclass(frozen=True)
class Keep:
    """How long what is not needed any more stays: snapshots, and on a shared catalog the files only they named."""

    snapshots_s: float = 60.0
    unused_files_s: float = 600.0


class Upkeep:
    """The steps for one lake. Whoever calls sees to it that only one step runs at a time, among all processes."""

    def __init__(self, lake: Commits, place: Place, writing: threading.Lock, keep: Keep) -> None:
        """`writing` is what an append holds. SQLite knows one writer, and a transaction that began before another's
        commit cannot write any more: there each commit of a step holds it too.
        """
        self._lake = lake
        self._place = place
        self._writing = writing
        self._keep = keep
        self._facts: dict[str, DataFile] = {}  # of files that live and may be merged
        self._cut: datetime | None = None  # rows from before it have been deleted
        self._swept_at: datetime | None = None
        self._thread: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Wait for a running rewrite."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def step(self, at: datetime, keep_days: float | None) -> bool:
        """Do a bounded amount of what is due; return whether more is due now."""
        self._sweep(at)
        self._clean_up(at)
        self._drop_old_rows(at, keep_days)
        more, failed = [], None
        for table in TABLES:
            try:
                more.append(self._merge(table, at))
            except StoreUnavailable as error:  # the other tables' files, and the disk, do not wait for this one's
                failed = error
        more.append(self._expire(at - timedelta(seconds=self._keep.snapshots_s)))
        if failed is not None:
            raise failed
        return any(more)

    def _alone(self) -> AbstractContextManager[object]:
        return self._writing if self._place.embedded else nullcontext()

    # --- rows ------------------------------------------------------------------------------------------------------

    def _drop_old_rows(self, at: datetime, keep_days: float | None) -> None:
        """Delete by whole hours, once each: DuckLake drops a file whole when no row of it is left."""
        if keep_days is None:
            return
        cut = (at - timedelta(days=keep_days)).replace(minute=0, second=0, microsecond=0)
        if cut == self._cut:
            return
        for table, column in TIME_COLUMN.items():
            # What a sender's clock put far into the future goes by its arrival.
            old = f'"{column}" < $1 OR (received_at < $1 AND "{column}" > $2)'
            self._delete(f'DELETE FROM lake."{table}" WHERE {old}', [cut, at + timedelta(days=1)])
        self._cut = cut

    def _delete(self, sql: str, instants: list[datetime]) -> None:
        """Delete, again and again where appends of other nodes come between: DuckLake lets only one of them commit."""
        for left in reversed(range(_DELETE_TRIES)):
            try:
                with self._alone():
                    self._lake.query(sql, instants)
                return
            except StoreUnavailable as error:
                if not left or "conflict" not in error.message:
                    raise

    # --- files -----------------------------------------------------------------------------------------------------

    def _merge(self, table: str, at: datetime) -> bool:
        """Merge one group of files, if there is one; return whether there was."""
        if self._place.folder is None or not self._place.embedded:
            with self._alone():
                done = self._lake.query(
                    f"CALL ducklake_merge_adjacent_files('lake', {quoted(table)},"
                    f" max_compacted_files => {_MERGES_PER_TABLE}, max_file_size => {_MERGE_BELOW_BYTES})"
                )
            return bool(done.num_rows)
        group = next_group(self._live(table), at)
        if not group:
            return False
        target = Path(group[0].path).with_name(f"{uuid4()}.parquet")
        try:
            rows = self._beside(lambda: _merge_files(table, group, target))
        except (OSError, pa.ArrowException) as error:
            raise StoreUnavailable(f"files of {table} could not be merged: {error}") from error
        self._swap(table, group, target, rows)
        for file in group:
            self._facts.pop(file.path, None)
        return True

    def _live(self, table: str) -> list[DataFile]:
        """Return the table's files that are whole: one with deleted rows waits until all of them are."""
        listed = self._lake.query(
            "SELECT data_file, delete_file IS NULL AS whole FROM ducklake_list_files('lake', ?)", [table]
        ).to_pylist()
        folder = f"/{table}/"
        present = {row["data_file"] for row in listed}
        for path in [path for path in self._facts if folder in path and path not in present]:
            del self._facts[path]
        for row in listed:
            if row["data_file"] not in self._facts:
                try:
                    self._facts[row["data_file"]] = read_facts(table, row["data_file"])
                except (OSError, pa.ArrowException, ValueError) as error:
                    _LOG.error("a file of the lake cannot be read and is left alone: %s: %s", row["data_file"], error)
        return [self._facts[row["data_file"]] for row in listed if row["whole"] and row["data_file"] in self._facts]

    def _swap(self, table: str, group: Sequence[DataFile], target: Path, rows: int) -> None:
        expected = sum(file.rows for file in group)

        def work(cursor: duckdb.DuckDBPyConnection) -> None:
            conditions = [f"filename IN ({', '.join(quoted(file.path) for file in group)})"]
            values: list[datetime] = []
            column = TIME_COLUMN.get(table)
            firsts = [file.first_at for file in group if file.first_at is not None]
            lasts = [file.last_at for file in group if file.last_at is not None]
            if column is not None and len(firsts) == len(group) == len(lasts):  # other files are then not even opened
                conditions.append(f'"{column}" >= ? AND "{column}" <= ?')
                values = [min(firsts), max(lasts)]
            found = cursor.execute(f'DELETE FROM lake."{table}" WHERE {" AND ".join(conditions)}', values).fetchone()
            gone = found[0] if found else 0
            if not gone == rows == expected:
                raise StoreUnavailable(
                    f"a merge of {table} read {rows} rows and would replace {gone}, not {expected}: left as it was"
                )
            cursor.execute("CALL ducklake_add_data_files('lake', ?, ?)", [table, str(target)])

        try:
            with self._alone():
                self._lake.commit(work)
        except CommitFailed:
            if self._lake.is_registered(table, target):
                return
            _remove(target)
            raise
        except BaseException:
            _remove(target)
            raise

    def _beside(self, work: Callable[[], int]) -> int:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "lake-merge", initializer=_give_way)
        return self._thread.submit(work).result()

    # --- snapshots and what only they name -------------------------------------------------------------------------

    def _expire(self, cut: datetime) -> bool:
        """Forget snapshots from before `cut`, by number: for comparing times see _clean_up()."""
        found = self._lake.query(
            "SELECT snapshot_id FROM ducklake_snapshots('lake') WHERE snapshot_time < ?"
            " AND snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshots('lake'))"
            " ORDER BY snapshot_id LIMIT ?",
            [cut, _SNAPSHOTS_PER_STEP],
        )
        if not found.num_rows:
            return False
        numbers = ", ".join(str(number) for number in found["snapshot_id"].to_pylist())
        with self._alone():
            self._lake.query(f"CALL ducklake_expire_snapshots('lake', versions => [{numbers}])")
        return bool(found.num_rows == _SNAPSHOTS_PER_STEP)

    def _clean_up(self, at: datetime) -> None:
        """Delete the files that no snapshot needs any more and no running query reads.

        DuckLake compares `older_than` with a SQLite catalog's times as texts of two different forms, so that all files
        of the day count as older. There every reader is in this process: what was running when the last step ended must
        be over by now, or the files stay until the next.
        """
        schema = "main" if self._place.embedded else METADATA_SCHEMA
        waiting = f"SELECT 1 FROM __ducklake_metadata_lake.{schema}.ducklake_files_scheduled_for_deletion LIMIT 1"
        if not self._lake.query(waiting).num_rows:
            return
        if not self._place.embedded:
            self._call_for("ducklake_cleanup_old_files", at - timedelta(seconds=self._keep.unused_files_s))
        elif not self._lake.still_read():
            with self._alone():
                self._lake.query("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")

    def _sweep(self, at: datetime) -> None:
        """Delete files that no snapshot names.

        A file between its writing and its commit looks like an orphan. In a folder of our own its writer can only be
        this process: whatever lies there at the first step, with no append running, was left by a crash. Elsewhere,
        and later, orphans are spared for a day; an object store takes too long to list for holding appends back.
        """
        if self._swept_at is None and self._place.movable:
            with self._writing:
                self._lake.query("CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)")
        elif self._swept_at is None or at - self._swept_at >= timedelta(seconds=_ORPHANS_KEEP_S):
            with nullcontext() if self._place.folder is None else self._writing:
                self._call_for("ducklake_delete_orphaned_files", at - timedelta(seconds=_ORPHANS_KEEP_S))
        else:
            return
        self._swept_at = at

    def _call_for(self, function: str, older_than: datetime) -> None:
        instant = quoted(older_than.astimezone(UTC).isoformat())
        self._lake.query(f"CALL {function}('lake', older_than => TIMESTAMPTZ {instant})")


def _give_way() -> None:
    """Lower the priority of this thread alone, where the system has such a thing."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _merge_files(table: str, group: Sequence[DataFile], target: Path) -> int:
    """merge_files(), and its thread's memory given back: each thread has a part of the pool, and keeps it."""
    try:
        return merge_files(table, group, target)
    finally:
        pa.default_memory_pool().release_unused()
