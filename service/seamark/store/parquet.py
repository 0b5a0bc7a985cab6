"""Arrow tables to Parquet files that are wholly on the disk before anyone hears of them."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# zstd at level 1: the commit waits for this.
_COMPRESSION = {"compression": "zstd", "compression_level": 1}


def write_durably(path: Path, table: pa.Table) -> None:
    """Write `table` to the new file `path` and sync file and folder; OSError leaves nothing behind.

    The file is made in memory first: what can fail on the disk is then one plain write.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_COMPRESSION)
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
