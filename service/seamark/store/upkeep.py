"""Many small and old files of a DuckLake that others may write -> few, and free disk: one bounded step at a time.

DuckLake does it all itself. A transaction that deletes conflicts with every append meanwhile, but its merge does not.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa

from seamark.core.errors import StoreUnavailable
from seamark.core.records import TABLES, TIME_COLUMN, keep_days_of
from seamark.store.lake_connection import METADATA_SCHEMA, Place, quoted

_SNAPSHOTS_PER_STEP = 500
_DELETE_TRIES = 10
ORPHANS_KEEP_S = 86400.0
_MERGE_BELOW_BYTES = 8 * 1024 * 1024  # larger files are left as they are: nothing is rewritten over and over
_MERGES_PER_TABLE = 1  # files written by one step, each of at most target_file_size


def whole_hour(at: datetime) -> datetime:
    """Return the hour's beginning: rows are dropped by whole hours, once each."""
    return at.replace(minute=0, second=0, microsecond=0)


class Queries(Protocol):
    """What upkeep needs of its lake."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table: ...

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

    def __init__(self, lake: Queries, place: Place, writing: threading.Lock, keep: Keep) -> None:
        """`writing` is what an append holds. SQLite knows one writer, and a transaction that began before another's
        commit cannot write any more: there each commit of a step holds it too.
        """
        self._lake = lake
        self._place = place
        self._writing = writing
        self._keep = keep
        self._cut: datetime | None = None  # rows from before it have been deleted
        self._swept_at: datetime | None = None

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
        cut = whole_hour(at - timedelta(days=keep_days))
        if cut == self._cut:
            return
        for table, column in TIME_COLUMN.items():
            table_cut = whole_hour(at - timedelta(days=keep_days_of(table, keep_days)))
            # What a sender's clock put far into the future goes by its arrival.
            old = f'"{column}" < $1 OR (received_at < $1 AND "{column}" > $2)'
            self._delete(f'DELETE FROM lake."{table}" WHERE {old}', [table_cut, at + timedelta(days=1)])
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
        with self._alone():
            done = self._lake.query(
                f"CALL ducklake_merge_adjacent_files('lake', {quoted(table)},"
                f" max_compacted_files => {_MERGES_PER_TABLE}, max_file_size => {_MERGE_BELOW_BYTES})"
            )
        return bool(done.num_rows)

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
        """Delete files that no snapshot names, a day after they were written.

        A file between its writing and its commit looks like an orphan.
        """
        if self._swept_at is None or at - self._swept_at >= timedelta(seconds=ORPHANS_KEEP_S):
            self._call_for("ducklake_delete_orphaned_files", at - timedelta(seconds=ORPHANS_KEEP_S))
            self._swept_at = at

    def _call_for(self, function: str, older_than: datetime) -> None:
        instant = quoted(older_than.astimezone(UTC).isoformat())
        self._lake.query(f"CALL {function}('lake', older_than => TIMESTAMPTZ {instant})")
