"""The tables of a DuckLake 1.0 catalog: what is asked of them and written to them, in SQL.

Whoever calls has a transaction open where more than one statement must hold together. The specification:
https://ducklake.select/docs/stable/specification/introduction
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

import pyarrow as pa

from seamark.core.errors import StoreUnavailable
from seamark.core.records import TIME_COLUMN
from seamark.store.lake_schema import STORED
from seamark.store.merging import DataFile
from seamark.store.new_file import NewFile

VERSION = "1.0"
LIVE = "end_snapshot IS NULL"
_NOW = "strftime('%Y-%m-%d %H:%M:%f+00', 'now')"
_STATS = "ducklake_file_column_stats"
_RANGES = "ducklake_table_column_stats"


class NeedsDuckDB(Exception):
    """The catalog is new, or holds what only DuckDB's extension can turn into whole data files."""


@dataclass(frozen=True)
class Table:
    """A table of the lake."""

    table_id: int
    folder: str  # below the data folder, with a trailing slash
    columns: Mapping[str, int]  # of the top level
    time_column: str | None
    changed: int  # the snapshot of its latest column
    schema: pa.Schema  # with the columns' numbers, by which DuckDB finds them in a file


def is_whole(catalog: Connection, names: Iterable[str]) -> bool:
    """Whether all rows lie in data files, and all rows of these live; `names` are the catalog's tables."""
    inlined = [name for (name,) in catalog.execute("SELECT table_name FROM ducklake_inlined_data_tables")]
    partial = [f"{name} WHERE {LIVE}" for name in ("ducklake_delete_file", *inlined)]
    partial += [name for name in names if name.startswith("ducklake_inlined_delete_")]
    return not any(catalog.execute(f"SELECT 1 FROM {one} LIMIT 1").fetchone() for one in partial)


def read_tables(catalog: Connection) -> Iterator[tuple[str, Table]]:
    """Yield the tables by name; NeedsDuckDB where one is not of the shape that this version knows."""
    rows = catalog.execute(
        "SELECT t.table_id, t.table_name, s.path || t.path FROM ducklake_table t JOIN ducklake_schema s"
        f" USING (schema_id) WHERE t.{LIVE} AND s.{LIVE} AND t.path_is_relative AND s.path_is_relative"
    ).fetchall()
    for table_id, name, folder in rows:
        found = catalog.execute(
            "SELECT column_id, column_name, parent_column, begin_snapshot FROM ducklake_column"
            f" WHERE table_id = ? AND {LIVE}",
            [table_id],
        ).fetchall()
        columns = {column: number for number, column, parent, _ in found if parent is None}
        if not set(STORED.get(name, pa.schema([])).names) <= set(columns):
            raise NeedsDuckDB
        inner = {parent: number for number, _, parent, _ in found if parent is not None}
        schema = _numbered(STORED[name], columns, inner) if name in STORED else pa.schema([])
        changed = max(begin for *_, begin in found)
        yield name, Table(table_id, folder, columns, TIME_COLUMN.get(name), changed, schema)


def read_files(catalog: Connection, data_folder: Path, table: Table) -> Iterator[DataFile]:
    """Yield the files of a table that live."""
    rows = catalog.execute(
        "SELECT f.data_file_id, f.path, f.path_is_relative, f.record_count, f.file_size_bytes, f.begin_snapshot,"
        f" s.min_value, s.max_value FROM ducklake_data_file f LEFT JOIN {_STATS} s"
        f" ON s.data_file_id = f.data_file_id AND s.column_id = ? WHERE f.table_id = ? AND f.{LIVE}"
        " ORDER BY f.data_file_id",
        [table.columns.get(table.time_column or ""), table.table_id],
    )
    for number, path, relative, count, size, begin, first, last in rows:
        whole = str(data_folder / table.folder / path) if relative else path
        yield DataFile(whole, count, size, *_range(first, last), number, begin >= table.changed)


def named_files(catalog: Connection, data_folder: Path, tables: Mapping[str, Table]) -> set[Path]:
    """Return every file that some snapshot names."""
    folders = {table.table_id: table.folder for table in tables.values()}
    rows = catalog.execute("SELECT table_id, path, path_is_relative FROM ducklake_data_file").fetchall()
    return {
        data_folder / folders[number] / path if relative else Path(path)
        for number, path, relative in rows
        if number in folders or not relative
    }


def write_snapshot(
    catalog: Connection,
    tables: Mapping[str, Table],
    added: Sequence[tuple[str, NewFile]],
    gone: Sequence[tuple[str, DataFile]],
) -> list[tuple[str, DataFile]]:
    """Write a snapshot in which these files live and those do not; return the new ones with their numbers.

    StoreUnavailable where a file to go lives no more.
    """
    snapshot, schema_version, next_catalog, next_file = catalog.execute(
        "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot"
        " WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)"
    ).fetchone()
    snapshot += 1
    for table, file in gone:
        _remove(catalog, tables[table], file, snapshot)
    new = []
    for number, (table, facts) in enumerate(added, next_file):
        _add(catalog, tables[table], facts, snapshot, number)
        new.append((table, replace(facts.file, file_id=number)))
    catalog.execute(
        f"INSERT INTO ducklake_snapshot VALUES (?, {_NOW}, ?, ?, ?)",
        [snapshot, schema_version, next_catalog, next_file + len(added)],
    )
    changes = [f"inserted_into_table:{number}" for number in sorted({tables[t].table_id for t, _ in added})]
    changes += [f"deleted_from_table:{number}" for number in sorted({tables[t].table_id for t, _ in gone})]
    catalog.execute(
        "INSERT INTO ducklake_snapshot_changes VALUES (?, ?, NULL, NULL, NULL)", [snapshot, ",".join(changes)]
    )
    return new


def _remove(catalog: Connection, table: Table, file: DataFile, snapshot: int) -> None:
    done = catalog.execute(
        f"UPDATE ducklake_data_file SET end_snapshot = ? WHERE data_file_id = ? AND {LIVE}",
        [snapshot, file.file_id],
    )
    if done.rowcount != 1:
        raise StoreUnavailable(f"another program has replaced {file.path}: left as it was")
    _count(catalog, table, -file.rows, -file.file_bytes, 0)


def _add(catalog: Connection, table: Table, facts: NewFile, snapshot: int, number: int) -> None:
    file = facts.file
    _count(catalog, table, file.rows, file.file_bytes, file.rows)
    catalog.execute(
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
    catalog.executemany(f"INSERT INTO {_STATS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", rows)


def _count(catalog: Connection, table: Table, rows: int, size: int, numbered: int) -> None:
    done = catalog.execute(
        "UPDATE ducklake_table_stats SET record_count = record_count + ?, file_size_bytes = file_size_bytes + ?,"
        " next_row_id = next_row_id + ? WHERE table_id = ?",
        [rows, size, numbered, table.table_id],
    )
    if not done.rowcount:
        catalog.execute("INSERT INTO ducklake_table_stats VALUES (?, ?, ?, ?)", [table.table_id, rows, numbered, size])


def schedule_unnamed(catalog: Connection) -> None:
    """Move files that no snapshot names to those that are to be deleted."""
    unnamed = "end_snapshot <= (SELECT min(snapshot_id) FROM ducklake_snapshot)"
    catalog.execute(
        "INSERT INTO ducklake_files_scheduled_for_deletion SELECT f.data_file_id,"
        " CASE WHEN f.path_is_relative THEN s.path || t.path || f.path ELSE f.path END, f.path_is_relative,"
        f" {_NOW} FROM ducklake_data_file f JOIN ducklake_table t USING (table_id) JOIN ducklake_schema s"
        f" USING (schema_id) WHERE f.{unnamed}"
    )
    # One pass over each table: the catalog has no index for more.
    numbers = f"SELECT data_file_id FROM ducklake_data_file WHERE {unnamed}"
    catalog.execute(f"DELETE FROM {_STATS} WHERE data_file_id IN ({numbers})")
    catalog.execute(f"DELETE FROM ducklake_data_file WHERE {unnamed}")


def knows_ranges(catalog: Connection) -> bool:
    """Whether least and greatest values of whole tables are told; see forget_ranges()."""
    known = f"SELECT count(*) FROM {_RANGES} WHERE min_value IS NULL AND max_value IS NULL AND contains_null IS NULL"
    wanted = f"SELECT count(*) FROM ducklake_column WHERE {LIVE}"
    return bool(catalog.execute(known).fetchone() != catalog.execute(wanted).fetchone())


def forget_ranges(catalog: Connection) -> None:
    """Say "unknown" for the least and greatest value of whole tables, which are not kept up to date here.

    Who reads the lake with DuckDB would otherwise be told that nothing lies beyond them.
    """
    catalog.execute(f"DELETE FROM {_RANGES}")
    catalog.execute(
        f"INSERT INTO {_RANGES} SELECT table_id, column_id, NULL, NULL, NULL, NULL, NULL FROM ducklake_column"
        f" WHERE {LIVE}"
    )


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


def is_before(text: str, at: datetime) -> bool:
    """Whether an instant as DuckLake writes one lies before `at`."""
    first, _ = _range(text, text)
    return first is not None and first < at
