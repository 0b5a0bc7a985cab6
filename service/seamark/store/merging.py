"""Small Parquet files of one table -> the group that is worth merging -> one larger, sorted file.

Files are merged by size: those of a group have about as many rows, a step of 16 apart, so that a row is rewritten once
or twice at a high rate and six times at most. Rows pass through memory in pieces, whatever the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from seamark.core.records import TABLES
from seamark.store.lake_schema import STORED, stored_form
from seamark.store.parquet import shape
from seamark.store.trace_index import remove_index, write_index

STEP = 16  # files of one size that become one of the next, and how many times larger that is
SETTLED_FILES = 4  # files of any size that suffice a day later, when no more are likely to come
ROWS_DONE = 262_144  # a file of so many rows is left as it is
GROUP_ROWS_MAX = 1_048_576  # written by one merge
GROUP_BYTES_MAX = 64 * 1024 * 1024  # read by one merge
GROUP_FILES_MAX = 64
SPAN_MAX = timedelta(days=1)  # a merged file covers no more than this, so that retention drops it whole
ROW_GROUP_ROWS = 32_768  # smaller ones make reads of few rows faster, and files no larger
_SORTED_BYTES = 32 * 1024 * 1024  # sorted and written at a time, or _SORTED_ROWS where rows are small
_SORTED_ROWS = 65_536
_BATCH_ROWS = 8_192

# Rows lie as they are asked for: one model's stretch of time is then in few row groups. Tables without a line keep
# the order they came in.
ORDER: Mapping[str, Sequence[str]] = {
    "spans": ("model", "start_at"),
    "metric_points": ("model", "name", "at"),
    "predictions": ("model", "at"),
    "labels": ("model", "at"),
}


Keep = Callable[[pa.Table], pa.Table] | None


@dataclass(frozen=True)
class DataFile:
    """A live Parquet file of one table; the times are those of its TIME_COLUMN, None where the table has none."""

    path: str
    rows: int
    file_bytes: int
    first_at: datetime | None = None
    last_at: datetime | None = None
    file_id: int = 0  # in the catalog
    complete: bool = True  # it has every column that the table has now

    @property
    def level(self) -> int:
        """The step of size it is on: 0 for 1-7 rows, 1 for 8-63, ..."""
        return max(0, (self.rows.bit_length() - 1) // (STEP.bit_length() - 1))


def next_group(files: Iterable[DataFile], at: datetime) -> list[DataFile]:
    """Return the files to merge next, oldest first: of the lowest size that has enough of them; none if none has.

    `at` is now: rows from the future settle nothing.
    """
    small = [file for file in files if file.rows < ROWS_DONE and file.file_bytes < GROUP_BYTES_MAX // 2]
    levels: dict[int, list[DataFile]] = {}
    for file in small:
        levels.setdefault(file.level, []).append(file)
    for _, alike in sorted(levels.items()):
        for group in _groups(alike):
            if len(group) >= STEP or (len(group) > 1 and sum(file.rows for file in group) >= ROWS_DONE):
                return group
    newest = max((file.last_at for file in small if file.last_at is not None), default=None)
    if newest is not None:
        newest = min(newest, at)
        settled = [file for file in small if file.last_at is not None and newest - file.last_at > SPAN_MAX]
        for group in _groups(settled):
            if len(group) >= SETTLED_FILES:
                return group
    return []


def _groups(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Yield runs of files, by time, within the bounds of one merge."""
    epoch = datetime.min.replace(tzinfo=UTC)
    group: list[DataFile] = []
    wide = [file for file in files if _covers([file]) > SPAN_MAX]  # a sender's clock was far off; among themselves
    narrow = [file for file in files if _covers([file]) <= SPAN_MAX]
    for alike, span_max in ((narrow, SPAN_MAX), (wide, timedelta.max)):
        for file in sorted(alike, key=lambda file: (file.first_at or epoch, file.path)):
            if group and not _fits([*group, file], span_max):
                yield group
                group = []
            group.append(file)
        if group:
            yield group
        group = []


def _fits(group: Sequence[DataFile], span_max: timedelta) -> bool:
    return (
        len(group) <= GROUP_FILES_MAX
        and sum(file.rows for file in group) <= GROUP_ROWS_MAX
        and sum(file.file_bytes for file in group) <= GROUP_BYTES_MAX
        and _covers(group) <= span_max
    )


def _covers(group: Sequence[DataFile]) -> timedelta:
    firsts = [file.first_at for file in group if file.first_at is not None]
    lasts = [file.last_at for file in group if file.last_at is not None]
    return max(lasts) - min(firsts) if firsts and lasts else timedelta(0)


def merge_files(
    table: str, sources: Sequence[DataFile], target: Path, *, schema: pa.Schema | None = None, keep: Keep = None
) -> int:
    """Write the rows of `sources`, or those that `keep` returns, to the new file `target`; return how many were read.

    File and folder are synced. `schema` is the table's, with numbers for its columns. OSError or pa.ArrowException
    leaves nothing behind. One thread does it all: the other core is for what arrives.
    """
    schema = schema or STORED[table]
    rows = 0
    keys: list[npt.NDArray[np.int64]] = []
    try:
        with target.open("xb") as file:
            with pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                compression_level=3,
                **shape(schema, ROW_GROUP_ROWS),
                store_schema=False,
            ) as writer:
                for piece in _pieces(table, sources):
                    rows += piece.num_rows
                    if table == "spans":
                        keys.append(piece["trace_key"].drop_null().to_numpy())
                    kept = piece if keep is None else keep(piece)
                    writer.write_table(kept, row_group_size=ROW_GROUP_ROWS)
            file.flush()
            os.fsync(file.fileno())
        if keys:
            write_index(target, keys)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        target.unlink(missing_ok=True)
        remove_index(target)
        raise
    return rows


def _pieces(table: str, sources: Sequence[DataFile]) -> Iterator[pa.Table]:
    """Yield the rows in sorted pieces of bounded size, whatever their number and width."""
    order = [(name, "ascending") for name in ORDER.get(table, ())]
    waiting: list[pa.Table] = []
    rows = size = 0
    for batch in _batches(table, sources):
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _SORTED_ROWS or size >= _SORTED_BYTES:
            yield _sorted(waiting, order)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _sorted(waiting, order)


def _sorted(batches: Sequence[pa.Table], order: Sequence[tuple[str, str]]) -> pa.Table:
    rows = pa.concat_tables(batches)
    return rows.sort_by(list(order)) if order else rows


def _batches(table: str, sources: Sequence[DataFile]) -> Iterator[pa.Table]:
    schema = STORED[table]
    for source in sources:
        with pq.ParquetFile(source.path) as file:
            names = [name for name in schema.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(_BATCH_ROWS, columns=names, use_threads=False):
                yield _conform(table, pa.Table.from_batches([batch]), schema)


def _conform(table: str, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows of an older shape in the present one: columns that were added since are null, or worked out."""
    if not set(schema.names) - set(TABLES[table].names) <= set(rows.column_names):
        rows = stored_form(table, rows)
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
