"""What a catalog is told of a Parquet file: by the table that was written, or by the file itself."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seamark.core.records import TIME_COLUMN
from seamark.store.merging import DataFile


@dataclass(frozen=True)
class Column:
    """A column of a file: its nulls, and its bytes where they are known. Of lists nothing is told."""

    name: str
    nulls: int
    size: int | None = None


@dataclass(frozen=True)
class NewFile:
    """A file that is wholly on disk and in no catalog."""

    file: DataFile
    footer_bytes: int
    columns: Sequence[Column]


def described(name: str, path: Path, rows: pa.Table) -> NewFile:
    """Return what the file at `path` holds, which these rows of table `name` were written to.

    Not by its footer: that would take longer, and pyarrow's readers lie in reference cycles, so that thousands of them
    would stay until the collector comes.
    """
    first = last = None
    column = TIME_COLUMN.get(name)
    if column is not None:
        with suppress(OverflowError, ValueError):  # beyond the years that Python knows
            ends = pc.min_max(rows[column]).as_py()
            first, last = ends["min"].astimezone(UTC), ends["max"].astimezone(UTC)
    columns = [
        Column(field.name, values.null_count)
        for field, values in zip(rows.schema, rows.columns, strict=True)
        if not pa.types.is_list(field.type)
    ]
    return NewFile(DataFile(str(path), rows.num_rows, path.stat().st_size, first, last), _footer_bytes(path), columns)


def read_description(name: str, path: Path) -> NewFile:
    """Return what the footer of the file at `path` says; OSError or pa.ArrowException where it cannot be read."""
    footer = pq.read_metadata(path)
    first, last = _instants(name, footer)
    file = DataFile(str(path), footer.num_rows, path.stat().st_size, first, last)
    found = NewFile(file, _footer_bytes(path), _columns(footer))
    del footer
    gc.collect(1)  # see described(); they were made just now
    return found


def _footer_bytes(path: Path) -> int:
    """The last eight bytes of a Parquet file are its footer's length and PAR1."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        return int.from_bytes(file.read(4), "little")


def _instants(name: str, footer: pq.FileMetaData) -> tuple[datetime | None, datetime | None]:
    column = TIME_COLUMN.get(name)
    if column is None or not footer.num_rows:
        return None, None
    index = footer.schema.names.index(column)
    chunks = [footer.row_group(number).column(index).statistics for number in range(footer.num_row_groups)]
    if not all(chunk is not None and chunk.has_min_max for chunk in chunks):
        return None, None
    return min(chunk.min for chunk in chunks).astimezone(UTC), max(chunk.max for chunk in chunks).astimezone(UTC)


def _columns(footer: pq.FileMetaData) -> list[Column]:
    found = []
    for index in range(footer.num_columns):
        chunks = [footer.row_group(number).column(index) for number in range(footer.num_row_groups)]
        name = footer.schema.column(index).path
        if "." not in name and all(
            chunk.statistics is not None and chunk.statistics.has_null_count for chunk in chunks
        ):
            nulls = sum(chunk.statistics.null_count for chunk in chunks)
            found.append(Column(name, nulls, sum(chunk.total_compressed_size for chunk in chunks)))
    return found
