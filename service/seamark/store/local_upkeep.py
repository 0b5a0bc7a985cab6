"""Many small and old files of a local lake -> few, and free disk: one bounded step at a time, beside what arrives.

A file is rewritten with no lock and no transaction open, by store/rewriting.py; only its swap for those it replaces is
a commit, as short as an append's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from seamark.core.errors import StoreUnavailable
from seamark.core.records import TABLES, TIME_COLUMN, keep_days_of
from seamark.store.duckdb_session import Session
from seamark.store.lake import CommitFailed
from seamark.store.lake_connection import Place
from seamark.store.local_catalog import LocalCatalog
from seamark.store.merging import DataFile, next_group
from seamark.store.rewriting import Old, Rewrite, Rewriter
from seamark.store.trace_index import SUFFIX, remove_data_file
from seamark.store.upkeep import ORPHANS_KEEP_S, Keep, whole_hour

_LOG = logging.getLogger(__name__)
_SNAPSHOTS_PER_STEP = 500
_FAR_AHEAD = timedelta(days=1)  # what a sender's clock put further into the future than this goes by its arrival


class LocalUpkeep:
    """The steps for one lake, one at a time."""

    def __init__(
        self, catalog: LocalCatalog, session: Session, place: Place, writing: threading.Lock, keep: Keep
    ) -> None:
        """`writing` is what an append holds."""
        self._catalog = catalog
        self._session = session
        self._place = place
        self._writing = writing
        self._keep = keep
        self._cut: datetime | None = None  # rows from before it are gone
        self._checked: set[int] = set()  # files that hold none from before _checked_for
        self._checked_for: datetime | None = None
        self._swept_at: datetime | None = None
        self._rewriter = Rewriter()

    def close(self) -> None:
        """End what runs beside."""
        self._rewriter.close()

    def step(self, at: datetime, keep_days: float | None) -> bool:
        """Do a bounded amount of what is due; return whether more is due now."""
        self._sweep(at)
        self._clean_up()
        more, failed = [], None
        steps = [partial(self._merge, table, at) for table in TABLES]
        if keep_days is not None:
            steps.insert(0, partial(self._drop_old_rows, at, keep_days))
        for step in steps:
            try:
                more.append(step())
            except StoreUnavailable as error:  # the other steps, and the disk, do not wait for this one
                failed = error
        more.append(self._catalog.expire(at - timedelta(seconds=self._keep.snapshots_s), _SNAPSHOTS_PER_STEP))
        if failed is not None:
            raise failed
        if not any(more):
            self._rewriter.rest()
        return any(more)

    # --- rows ------------------------------------------------------------------------------------------------------

    def _drop_old_rows(self, at: datetime, keep_days: float) -> bool:
        """Drop by whole hours: files whole, and one a step that is older in part. Return whether there was one."""
        cut = whole_hour(at - timedelta(days=keep_days))
        if cut == self._cut:
            return False
        if cut != self._checked_for:
            self._checked, self._checked_for = set(), cut
        for table in TIME_COLUMN:
            live = self._catalog.live().get(table, ())
            table_cut = whole_hour(at - timedelta(days=keep_days_of(table, keep_days)))
            old = [file for file in live if file.last_at is not None and file.last_at < table_cut]
            if old:
                self._catalog.commit({}, {table: old})
            for file in live:
                if (
                    file not in old
                    and file.file_id not in self._checked
                    and _may_hold_old(file, table_cut, at + _FAR_AHEAD)
                ):
                    if self._rewritten(table, file, table_cut, at + _FAR_AHEAD):
                        return True
                    self._checked.add(file.file_id)
        self._cut = cut
        return False

    def _rewritten(self, table: str, file: DataFile, cut: datetime, far: datetime) -> bool:
        """Write the file anew without its old rows; return whether it had any."""
        old = Old(cut, far)
        try:
            narrow = pq.read_table(file.path, columns=sorted({TIME_COLUMN[table], "received_at"}), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise StoreUnavailable(f"old rows of {table} could not be dropped: {error}") from error
        left = old.young(narrow, table).num_rows
        if left == narrow.num_rows:
            return False
        if left:
            self._replace(table, [file], old)
        else:
            self._catalog.commit({}, {table: [file]})
        return True

    # --- files -----------------------------------------------------------------------------------------------------

    def _merge(self, table: str, at: datetime) -> bool:
        """Merge one group of files, if there is one; return whether there was."""
        group = next_group(self._catalog.live().get(table, ()), at)
        if not group:
            return False
        self._replace(table, group)
        return True

    def _replace(self, table: str, group: Sequence[DataFile], old: Old | None = None) -> None:
        """Let one new file take the place of a group."""
        target = self._catalog.path_for(table, f"{uuid4()}.parquet")
        schema = self._catalog.schema(table).serialize().to_pybytes()
        done = self._rewriter.run(Rewrite(table, group, str(target), schema, old))
        try:
            if done.rows != (expected := sum(file.rows for file in group)):
                raise StoreUnavailable(f"{done.rows} of {expected} rows of {table} were read: left as it was")
            self._catalog.commit({table: [done.new]}, {table: group})
        except CommitFailed:
            raise  # the catalog may still come to name it
        except StoreUnavailable:
            remove_data_file(target)
            raise

    # --- what nothing names ----------------------------------------------------------------------------------------

    def _clean_up(self) -> None:
        """Delete the files that no snapshot names, once no query runs that began before the last step ended."""
        unnamed = self._catalog.unnamed()
        if not unnamed or self._session.still_running():
            return
        for _, path in unnamed:
            remove_data_file(path)
        self._catalog.forget([number for number, _ in unnamed])

    def _sweep(self, at: datetime) -> None:
        """Delete files that the catalog does not know.

        A file between its writing and its commit looks like one. In a folder of our own its writer can only be this
        process: whatever lies there at the first step, with no append running, was left by a crash. Elsewhere, and
        later, such files are spared for a day.
        """
        own = self._swept_at is None and self._place.movable
        if self._swept_at is not None and at - self._swept_at < timedelta(seconds=ORPHANS_KEEP_S):
            return
        with self._writing:
            named = self._catalog.named()
            spared_from_s = at.timestamp() - ORPHANS_KEEP_S
            for path in Path(self._place.data_path).rglob("*.parquet*"):
                data_file = Path(str(path).removesuffix(SUFFIX))
                with suppress(FileNotFoundError):
                    if data_file not in named and (own or path.stat().st_mtime < spared_from_s):
                        _LOG.warning("removed %s: nothing names it", path)
                        remove_data_file(path)
        self._swept_at = at


def _may_hold_old(file: DataFile, cut: datetime, far: datetime) -> bool:
    return file.first_at is None or file.last_at is None or file.first_at < cut or file.last_at > far
