"""A number of spans -> a compacted lake that holds them over the last 24 hours, and ids of some of its traces."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa

from bench.lake_state import compact, disk_bytes, opened
from bench.span_rows import table
from seamark.store.lake import Lake

_KEPT = "filled.json"
HOURS = 24
ROWS_PER_COMMIT = 65_536  # as the service's buffer commits at most
_RELEASED_AT = 0.6  # of the time: from then on nine traces in ten are on the new version
_BEFORE_NOW = timedelta(minutes=10)


@dataclass(frozen=True)
class Filled:
    """What was written. `traces` are (trace id in hex, begin of its root), spread over the whole time."""

    spans: int
    start: datetime
    end: datetime
    traces: tuple[tuple[str, datetime], ...]
    fill_s: float
    compact_s: float
    files: int
    bytes_per_span: float

    def hour(self, n: int) -> tuple[datetime, datetime]:
        """Return one of the whole hours, a different one for each n below 23, in no order."""
        start = self.start + timedelta(hours=(7 * n + 3) % (HOURS - 1))
        return start, start + timedelta(hours=1)


def fill(folder: Path, spans: int) -> Filled:
    """Write so many spans (rounded to whole traces) into the lake of `folder`, in order of arrival, then compact it."""
    end = datetime.now(UTC) - _BEFORE_NOW
    start = end - timedelta(hours=HOURS)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir()
    with opened(folder) as lake:
        started_s = time.perf_counter()
        traces = [trace for batch in _batches(start, end, spans) for trace in _append(lake, batch)]
        filled_s = time.perf_counter()
        compact(lake)
        compacted_s = time.perf_counter()
        health = lake.health()
        rows = lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py()
    filled = Filled(
        rows,
        start,
        end,
        tuple(traces),
        filled_s - started_s,
        compacted_s - filled_s,
        health.files,
        disk_bytes(folder) / rows,
    )
    (folder / _KEPT).write_bytes(msgspec.json.encode(filled))
    return filled


def kept(folder: Path) -> Filled | None:
    """Return what fill() wrote into the folder earlier; None where it did not, or did not end."""
    path = folder / _KEPT
    return msgspec.json.decode(path.read_bytes(), type=Filled) if path.exists() else None


def _batches(start: datetime, end: datetime, spans: int) -> Iterator[pa.Table]:
    run = int.from_bytes(os.urandom(8), "big")
    begin_ns, span_ns = round(start.timestamp() * 1e9), round((end - start).total_seconds() * 1e9)
    spans -= spans % 4
    for index, first in enumerate(range(0, spans, ROWS_PER_COMMIT)):
        count = min(ROWS_PER_COMMIT, spans - first)
        at, length = span_ns * first // spans, span_ns * count // spans
        new_version = 0.9 if first / spans > _RELEASED_AT else 0.0
        yield table((run, index), count, begin_ns + at, length, new_version=new_version)


def _append(lake: Lake, batch: pa.Table) -> list[tuple[str, datetime]]:
    """Append, and return one trace of its middle."""
    lake.append({"spans": batch})
    roots = batch.filter(batch["is_request"])
    row = roots.slice(roots.num_rows // 2, 1).select(["trace_id", "start_at"]).to_pylist()[0]
    return [(row["trace_id"].hex(), row["start_at"].astimezone(UTC))]
