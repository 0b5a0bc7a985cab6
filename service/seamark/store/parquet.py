"""Arrow tables to Parquet files that are wholly on the disk before anyone hears of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# zstd at level 1: the commit waits for this.
_COMPRESSION = {"compression": "zstd", "compression_level": 1}
# Hardly a value of these comes twice: a dictionary would be built, found useless and be thrown away.
_ALL_DIFFERENT = frozenset(
    (
        *("trace_id", "trace_key", "span_id", "parent_span_id", "start_at", "at", "duration_ns"),
        *("attributes", "events", "links"),
        *("prediction_id", "prediction_number", "latency_ms", "numeric", "scores", "due_s", "sent_s"),
    )
)
# Single values of these are looked for. A filter of 1 % false finds costs 1.2 bytes a value. Not for columns of bytes:
# DuckDB 1.5.5 then passes over rows that are there.
_SOUGHT = frozenset(("trace_key",))
# No read is ever narrowed by the least and greatest of these.
_UNRANKED = frozenset(
    ("trace_id", "trace_key", "span_id", "parent_span_id", "attributes", "resource", "events", "links", "scores")
)


def write_durably(path: Path, table: pa.Table) -> None:
    """Write `table` to the new file `path` and sync file and folder; OSError leaves nothing behind.

    The file is made in memory first: what can fail on the disk is then one plain write.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_COMPRESSION, **shape(table.schema, table.num_rows))
    _make_folder(path.parent)
    try:
        with path.open("xb") as file:
            file.write(sink.getvalue())
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def remove_files(paths: Iterable[Path]) -> None:
    """Remove them, as far as they are there and can be."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def shape(schema: pa.Schema, row_group_rows: int) -> dict[str, Any]:
    """Return how pyarrow should encode each column of a file with row groups of so many rows."""
    leaves = [(field.name, _leaf(field)) for field in schema]
    sought = {name: {"ndv": max(row_group_rows, 1), "fpp": 0.01} for name, _ in leaves if name in _SOUGHT}
    return {
        "use_dictionary": [path for name, path in leaves if name not in _ALL_DIFFERENT],
        "use_byte_stream_split": [path for name, path in leaves if name == "numeric"],
        "write_statistics": [path for name, path in leaves if name not in _UNRANKED],
        "bloom_filter_options": sought or None,
    }


def _leaf(field: pa.Field) -> str:
    """A column's path in the file: the values of a list lie one level deeper, under Parquet's own names."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
