"""core/records.py's tables as tables of a DuckLake: how they are made, and how an older lake becomes a current one."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.errors import CatalogNewer, Invalid, Problem
from seamark.core.records import (
    ANSWER_DETAILS,
    INFERENCE_PAYLOADS,
    LOAD_SAMPLES,
    METRIC_POINTS,
    OUTCOMES,
    REFERENCE_ROWS,
    SPANS,
    TABLES,
    holds_bytes,
)
from seamark.store.repeats import trace_keys

if TYPE_CHECKING:
    import duckdb  # not for the process that rewrites files, which needs none of its memory

# The number of the lake's present shape; a new lake is made in it. An older one takes each step after its own number:
# STEPS[n] is the SQL that leads from n-1 to n. Whoever changes a schema of core/records.py adds the step here.
LAKE_VERSION = 5
VERSION_TABLE = "seamark_lake_version"

_NO_NUL = "\ufffd"
_TYPES = {
    pa.binary(): "BLOB",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    pa.list_(pa.float64()): "DOUBLE[]",
    pa.list_(pa.int64()): "BIGINT[]",
    pa.list_(pa.string()): "VARCHAR[]",
}

# Merged files stay small enough that one merge is soon done; see maintain().
_OPTIONS = {"target_file_size": "32MB", "parquet_compression": "zstd", "parquet_compression_level": "3"}


# A column the lake adds for itself: a trace is found by it through the filters of the files, most of them unread.
_TRACE_KEY = pa.field("trace_key", pa.int64())
STORED: dict[str, pa.Schema] = TABLES | {"spans": SPANS.append(_TRACE_KEY)}


def stored_form(name: str, table: pa.Table) -> pa.Table:
    """Return a conforming table with the columns that the lake adds."""
    return table.append_column(_TRACE_KEY, trace_keys(table["trace_id"])) if name == "spans" else table


def create_table(name: str, schema: pa.Schema) -> str:
    """Return the SQL that makes the table of an Arrow schema."""
    columns = [f'"{f.name}" {_TYPES[f.type]}{"" if f.nullable else " NOT NULL"}' for f in schema]
    return f'CREATE TABLE lake."{name}" ({", ".join(columns)})'


def empty_select(name: str) -> str:
    """Return the SQL that finds no row of the table, in its columns."""
    columns = ", ".join(f'NULL::{_TYPES[field.type]} AS "{field.name}"' for field in STORED[name])
    return f"SELECT {columns} WHERE false"


STEPS: Mapping[int, Sequence[str]] = {
    2: (
        *(
            f'ALTER TABLE lake.spans ADD COLUMN "{name}" {_TYPES[SPANS.field(name).type]}'
            for name in ("scope", "links", "gen_ai_model", "input_tokens", "output_tokens", "first_token_ns")
        ),
        'ALTER TABLE lake.spans ADD COLUMN "trace_key" BIGINT',
        "UPDATE lake.spans SET trace_key = (CAST('0x' || right(hex(trace_id), 16) AS UBIGINT) >> 1)::BIGINT",
        create_table("metric_points", METRIC_POINTS),
    ),
    3: (create_table("inference_payloads", INFERENCE_PAYLOADS),),
    4: tuple(
        f'ALTER TABLE lake.reference_rows ADD COLUMN "{name}" {_TYPES[REFERENCE_ROWS.field(name).type]}'
        for name in OUTCOMES
    ),
    5: tuple(
        f'ALTER TABLE lake.load_samples ADD COLUMN "{name}" {_TYPES[LOAD_SAMPLES.field(name).type]}'
        for name in ANSWER_DETAILS
    ),
}


def bring_up_to_date(
    root: duckdb.DuckDBPyConnection, *, version: int = LAKE_VERSION, steps: Mapping[int, Sequence[str]] = STEPS
) -> None:
    """Make the tables of a new lake, or lead an older one to `version`; CatalogNewer refuses a newer one.

    Each step and its mark are one transaction, so that a crash leaves a whole version behind.
    """
    present = lake_version(root)
    if present is not None and present > version:
        raise CatalogNewer(newer(present, version))
    if present is None:
        options = [f"CALL lake.set_option('{name}', '{value}')" for name, value in _OPTIONS.items()]
        _step(root, options + [create_table(name, schema) for name, schema in STORED.items()], version, new=True)
        return
    for number in range(present + 1, version + 1):
        _step(root, steps[number], number, new=False)


def newer(present: int, known: int) -> str:
    """Return what to say of a lake that a newer Seamark made."""
    return f"the lake has version {present}, this Seamark knows versions up to {known}: install the newer Seamark"


def lake_version(root: duckdb.DuckDBPyConnection) -> int | None:
    """Return the version the lake is in, or None for one without tables."""
    found = root.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = ?", [VERSION_TABLE]
    ).fetchone()
    if not found or not found[0]:
        return None
    row = root.execute(f"SELECT max(version) FROM lake.{VERSION_TABLE}").fetchone()
    return int(row[0]) if row and row[0] is not None else None


def conform(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables that have rows with exactly the lake's columns, order and types; Invalid where they do not fit.

    A column that may be null and is not there becomes nulls. Text is checked to be UTF-8: a file with other bytes in
    it would fail every later read. A NUL in text becomes U+FFFD: DuckLake cannot look for it (see without_nul).
    """
    return {name: _conform(name, table) for name, table in tables.items() if table.num_rows}


def _conform(name: str, table: pa.Table) -> pa.Table:
    schema = TABLES.get(name)
    if schema is None:
        raise Invalid(f"{name!r} is not a table of the lake; known are {', '.join(TABLES)}")
    problems = [
        Problem(f"{name}.{column}", "is not a column") for column in table.column_names if column not in schema.names
    ]
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
        else:
            column = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        if not field.nullable and column.null_count:
            problems.append(Problem(f"{name}.{field.name}", f"{column.null_count} of {len(column)} values are null"))
        try:
            column = column if column.type == field.type else column.cast(field.type)
            column.validate(full=True)
            if field.type == pa.string():
                column = _without_nul(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            problems.append(Problem(f"{name}.{field.name}", f"is no {field.type}: {error}"))
        columns.append(column)
    if problems:
        raise Invalid("rows do not fit the lake: " + "; ".join(map(str, problems)), problems)
    return pa.Table.from_arrays(columns, schema=schema)


def without_nul(text: str) -> str:
    """Return `text` as the lake stores it and must be asked for it.

    DuckLake writes a filter's text into the SQL for its catalog, where a NUL would end the statement early.
    """
    return text.replace("\0", _NO_NUL)


def _without_nul(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(column, "\0", _NO_NUL) if holds_bytes(column, b"\0") else column


def _step(root: duckdb.DuckDBPyConnection, statements: Sequence[str], version: int, *, new: bool) -> None:
    root.execute("BEGIN")
    for statement in statements:
        root.execute(statement)
    if new:
        root.execute(f"CREATE TABLE lake.{VERSION_TABLE} (version INTEGER NOT NULL)")
    root.execute(f"INSERT INTO lake.{VERSION_TABLE} VALUES (?)", [version])
    root.execute("COMMIT")
