"""Arrow tables to Parquet files that are wholly on the disk before anyone hears of them."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# zstd at level 1: the commit waits for this.
_COMPRESSION = {"compression": "zstd", "compression_level": 1}
# Hardly a value of these comes twice: a dictionary would be built, found useless and be thrown away.
_ALL_DIFFERENT = frozenset(
    (
        *("trace_id", "span_id", "parent_span_id", "start_at", "at", "duration_ns", "attributes", "events", "links"),
        *("prediction_id", "prediction_number", "latency_ms", "numeric", "scores", "due_s", "sent_s"),
    )
)
# No read is ever narrowed by the least and greatest of these.
_UNRANKED = frozenset(("trace_id", "span_id", "parent_span_id", "attributes", "resource", "events", "links", "scores"))


def write_durably(path: Path, table: pa.Table) -> None:
    """Write `table` to the new file `path` and sync file and folder; OSError leaves nothing behind.

    The file is made in memory first: what can fail on the disk is then one plain write.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        use_dictionary=[path for name, path in _leaves(table) if name not in _ALL_DIFFERENT],
        use_byte_stream_split=[path for name, path in _leaves(table) if name == "numeric"],
        write_statistics=[path for name, path in _leaves(table) if name not in _UNRANKED],
        **_COMPRESSION,
    )
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


def _leaves(table: pa.Table) -> list[tuple[str, str]]:
    """Return (column, its path in the file): the values of a list lie one level deeper, under Parquet's own names."""
    return [
        (field.name, f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name)
        for field in table.schema
    ]


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
