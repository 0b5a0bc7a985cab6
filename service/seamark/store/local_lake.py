"""A lake in a folder of ours: rows to Parquet files, registered in a SQLite catalog, to Arrow tables again.

    append()    a file per table, synced -> one transaction of store/local_catalog.py
    query()     the files that live now, those of the asked-for time alone -> DuckDB over Parquet
    maintain()  store/local_upkeep.py

The format is DuckLake's, so that anyone can read the lake with DuckDB; new lakes are made, and older ones led up, by
its extension, before the catalog is opened here.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa

from seamark.core.errors import CatalogNewer, StartRefused, StoreUnavailable
from seamark.store import lake_connection
from seamark.store.duckdb_session import CHUNK_ROWS, Session, clean
from seamark.store.ducklake_tables import NeedsDuckDB
from seamark.store.lake import CommitFailed, LakeHealth, Within
from seamark.store.lake_connection import Place, as_glob, connect, connect_to_files, quoted, reaching, remove_spill
from seamark.store.lake_schema import (
    LAKE_VERSION,
    VERSION_TABLE,
    bring_up_to_date,
    conform,
    empty_select,
    newer,
    stored_form,
)
from seamark.store.local_catalog import Live, LocalCatalog, RowsChanged
from seamark.store.local_upkeep import LocalUpkeep
from seamark.store.merging import DataFile
from seamark.store.new_file import NewFile, described
from seamark.store.parquet import remove_files, write_durably
from seamark.store.repeats import KEPT_S, LATE, RATE_MAX, RecentSpans, hashes_of
from seamark.store.trace_index import may_hold
from seamark.store.upkeep import Keep

_LOG = logging.getLogger(__name__)
# DuckDB keeps every footer it has read, of files long gone too: 6 kB each, 400 MB after an hour of 20 files a second.
_RENEWED_AFTER = 500  # files
_TABLE = re.compile(r'\blake\."?(\w+)"?')


class LocalLake:
    """A Lake (store/lake.py) that this process alone writes; others may read it with DuckDB."""

    def __init__(self, place: Place, keep: Keep | None = None) -> None:
        """`place` is local."""
        self._place = place
        self._writing = threading.Lock()
        self._maintaining = threading.Lock()
        self._catalog = LocalCatalog(place, lake_connection.BUSY_TIMEOUT_MS)
        self._session = Session(place, connect_to_files)
        self._recent = RecentSpans()
        self._written = 0  # files, since the session was new
        self._closed = False
        self._upkeep = LocalUpkeep(self._catalog, self._session, place, self._writing, keep or Keep())

    def open(self) -> None:
        """Open the lake, making or leading it up if need be; StartRefused, CatalogNewer or StoreUnavailable if not."""
        try:
            self._catalog.open()
            current = self._version() == LAKE_VERSION
        except NeedsDuckDB:
            current = False
        if not current:
            self._catalog.close()
            _make_ready(self._place)
            try:
                self._catalog.open()
            except NeedsDuckDB:
                raise StartRefused(f"the lake in {self._place.data_path} holds what cannot be read here") from None
        self._recall()

    def append(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """See Lake.append. Invalid where a table does not fit core/records.py."""
        rows = conform(tables)
        if not rows:
            return rows
        with self._writing:
            if "spans" not in rows:
                self._store(rows)
                return rows
            hashes = hashes_of(rows["spans"])
            new = self._recent.first_seen(hashes)
            rows["spans"] = rows["spans"] if new.all() else rows["spans"].filter(pa.array(new))
            stored = {name: table for name, table in rows.items() if table.num_rows}
            if stored:
                if "spans" in stored:
                    self._recent.note_late(rows["spans"])
                try:
                    self._store(stored)
                except BaseException:
                    self._recent.note_doubt(rows["spans"])  # a commit that reports failure may have succeeded
                    raise
                self._recent.remember(hashes[new])
            return stored

    def may_repeat(self, start: datetime, end: datetime) -> bool:
        """See Lake.may_repeat."""
        return self._recent.may_repeat(start, end)

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        within: Within | None = None,
        of_trace: int | None = None,
    ) -> pa.Table:
        """See Lake.query. Values go into `parameters` (`?` or `$name`), never into `sql`."""
        with self._session.cursor() as cursor:  # from here on no file that lives is deleted
            live = self._catalog.live()
            sql = _TABLE.sub(lambda found: _source(live, found[1], within, of_trace), sql)
            return cursor.execute(sql, clean(parameters)).to_arrow_table(CHUNK_ROWS)

    def maintain(self, at: datetime, keep_days: float | None) -> bool:
        """See Lake.maintain. Does nothing while another thread maintains the lake."""
        if not self._maintaining.acquire(blocking=False):
            return False
        try:
            if self._closed:
                return False
            if self._written >= _RENEWED_AFTER:
                self._written = 0
                self._session.renew()
            try:
                self._catalog.live()
            except RowsChanged:
                self._make_whole_again()
            return self._upkeep.step(at, keep_days)
        finally:
            self._session.mark()
            self._maintaining.release()

    def health(self) -> LakeHealth:
        """See Lake.health."""
        files = [file for name, files in self._catalog.live().items() if name != VERSION_TABLE for file in files]
        free_bytes = shutil.disk_usage(self._place.data_path).free
        return LakeHealth(len(files), sum(file.file_bytes for file in files), free_bytes)

    def close(self) -> None:
        """Wait for a running append and a running step of upkeep, then close."""
        with self._maintaining, self._writing:
            self._closed = True
            self._upkeep.close()
            if self._session.close():
                remove_spill(self._place)
            self._catalog.close()

    def _make_whole_again(self) -> None:
        """Rewrite what another program changed. Until that is done the lake answers that it is closed."""
        _LOG.warning("another program has deleted rows of this lake: its files are rewritten")
        with self._writing:
            self._catalog.close()
            try:
                _make_ready(self._place)
            finally:
                self._catalog.open()

    def _version(self) -> int | None:
        found = self.query(f"SELECT max(version) AS n FROM lake.{VERSION_TABLE}")["n"][0].as_py()
        if found is not None and found > LAKE_VERSION:
            self._catalog.close()
            raise CatalogNewer(newer(found, LAKE_VERSION))
        return int(found) if found is not None else None

    def _recall(self) -> None:
        """Learn what this process's forerunner knew of the spans it stored."""
        late = self.query(f"SELECT DISTINCT epoch_us(start_at) // 3600000000 AS hour FROM lake.spans WHERE {LATE}")
        self._recent.note_hours(late["hour"].to_pylist())
        spans = self.query(
            "SELECT trace_id, span_id, model, start_at FROM lake.spans WHERE received_at >="
            f" (SELECT max(received_at) FROM lake.spans) - INTERVAL {KEPT_S:.0f} SECONDS"
            f" LIMIT {round(KEPT_S * RATE_MAX)}"
        )
        if spans.num_rows:
            self._recent.remember(hashes_of(spans))

    def _store(self, rows: Mapping[str, pa.Table]) -> None:
        files: list[Path] = []
        new: dict[str, list[NewFile]] = {}
        try:
            for name, table in rows.items():
                files.append(self._catalog.path_for(name, f"{uuid4()}.parquet"))
                schema = self._catalog.schema(name)
                stored = pa.Table.from_arrays(stored_form(name, table).columns, schema=schema)
                write_durably(files[-1], stored)
                new[name] = [described(name, files[-1], stored)]
        except OSError as error:
            remove_files(files)
            raise StoreUnavailable(f"the lake's disk did not take the rows: {error.strerror or error}") from error
        except BaseException:
            remove_files(files)
            raise
        try:
            self._catalog.commit(new)
        except CommitFailed:
            raise  # what the catalog may still come to name stays
        except StoreUnavailable:
            remove_files(files)
            raise
        self._written += len(files)


def _source(live: Live, table: str, within: Within | None, of_trace: int | None) -> str:
    """Return SQL for the rows of a table: of the files that may hold some of what is asked for."""
    if table not in live:
        return f'lake."{table}"'  # which DuckDB says is not there
    files = [file for file in live[table] if _reaches(file, within)]
    if of_trace is not None and table == "spans":
        files = [file for file in files if may_hold(file.path, of_trace)]
    if not files:
        return f"({empty_select(table)})"
    paths = ", ".join(quoted(as_glob(file.path)) for file in files)
    if all(file.complete for file in files):
        return f"read_parquet([{paths}], hive_partitioning = false)"
    # Columns that none of them has are null.
    read = f"read_parquet([{paths}], hive_partitioning = false, union_by_name = true)"
    return f"({empty_select(table)} UNION ALL BY NAME SELECT * FROM {read})"


def _reaches(file: DataFile, within: Within | None) -> bool:
    if within is None or file.first_at is None or file.last_at is None:
        return True
    return file.first_at <= within[1] and file.last_at >= within[0]


def _make_ready(place: Place) -> None:
    """Make a new lake, or lead an older one up, with whole data files only.

    StartRefused where data files lie there but the catalog does not: in a new one they would be nobody's.
    """
    catalog = Path(place.catalog.removeprefix("sqlite:"))
    if not catalog.exists() and any(Path(place.data_path).rglob("*.parquet")):
        raise StartRefused(
            f"{catalog} is missing, but {place.data_path} holds its data: put it back, or move the data away"
        )
    root = connect(place)
    try:
        with reaching(place):
            bring_up_to_date(root)
            _make_whole(root)
    finally:
        root.close()


def _make_whole(root: duckdb.DuckDBPyConnection) -> None:
    """Rewrite files of which rows were deleted, and write rows that lie in the catalog to files."""
    root.execute("CALL ducklake_flush_inlined_data('lake')")
    root.execute("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0)")
