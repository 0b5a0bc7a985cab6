"""A stopped service's folder -> rows in its lake, each once, and its bytes before and after compaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from seamark.store.lake import Lake
from seamark.store.lakes import LAKES

KEYS = {"spans": "trace_id, span_id", "predictions": "prediction_id"}
STEPS_MAX = 2_000
COUNTED_AT_ONCE = 4_000_000  # different rows: more would not fit into the lake's memory
_QUIET_STEPS = 2  # that change nothing: then nothing is left to do


@contextmanager
def opened(folder: Path) -> Iterator[Lake]:
    """Open the lake of a service that kept its data in `folder`/data with default settings."""
    lake = LAKES["ducklake"](data_dir=folder / "data", catalog_url="sqlite")
    try:
        yield lake
    finally:
        lake.close()


def count(lake: Lake, table: str) -> tuple[int, int]:
    """Return the rows of a table, and how many different ones those are."""
    rows, keys = _rows(lake, table), KEYS[table]
    parts = rows // COUNTED_AT_ONCE + 1
    counted = f"SELECT count(DISTINCT ({keys})) AS n FROM lake.{table} WHERE hash({keys}) % {parts} ="
    return rows, sum(lake.query(f"{counted} {part}")["n"][0].as_py() for part in range(parts))


def _rows(lake: Lake, table: str) -> int:
    found: int = lake.query(f"SELECT count(*) AS n FROM lake.{table}")["n"][0].as_py()
    return found


def compact(lake: Lake) -> int:
    """Call the lake's own maintain() until it changes nothing; return how often.

    Its clock is set two hours ahead, so that snapshots it would keep for an hour do not hold the merged files.
    """
    at = datetime.now(UTC) + timedelta(hours=2)
    quiet, state = 0, _state(lake)
    for step in range(1, STEPS_MAX + 1):
        lake.maintain(at, None)
        state, before = _state(lake), state
        quiet = quiet + 1 if state == before else 0
        if quiet == _QUIET_STEPS:
            return step
    raise RuntimeError(f"the lake still changes after {STEPS_MAX} calls of maintain()")


def _state(lake: Lake) -> tuple[int, int]:
    health = lake.health()
    return health.files, health.data_bytes


def disk_bytes(folder: Path) -> int:
    """Return the bytes of all files of the lake in `folder`/data, what helps to find rows included."""
    return sum(path.stat().st_size for path in (folder / "data" / "lake").rglob("*") if path.is_file())


def bytes_per_row(lake: Lake, folder: Path, table: str) -> float:
    """Return the bytes on disk for each row of `table`, the only one that has rows."""
    return disk_bytes(folder) / _rows(lake, table)
