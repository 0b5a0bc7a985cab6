"""Requests as they end -> a samples file that a killed run keeps, and the figures of the last second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seamark.wire.load_rows import Columns, decode, encode
from seamark.wire.load_rows import LoadRow as Row

__all__ = ["Recorder", "Row", "Second", "to_file"]

ROWS_AT_ONCE = 512  # encoding them takes about a millisecond, in which nothing is sent

# Takes one chunk to where it is safe.
Keep = Callable[[bytes], None]


@dataclass
class Second:
    """What ended since the last look; `lateness_ms` has one for each request of these that was sent."""

    done: int = 0
    failed: int = 0
    latency_ms: list[float] = field(default_factory=list)
    service_latency_ms: list[float] = field(default_factory=list)
    lateness_ms: list[float] = field(default_factory=list)

    def quantiles(self) -> dict[str, Any]:
        """The figures of a progress line; None where nothing ended."""
        p50, p95, p99 = _quantiles(self.latency_ms, (0.5, 0.95, 0.99))
        (late_p99,) = _quantiles(self.lateness_ms, (0.99,))
        return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "lateness_p99_ms": late_p99}


class Recorder:
    """Holds rows until flush(), some times a second, hands them on as chunks (seamark/wire/load_rows.py)."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._rows: list[Row] = []
        self._second = Second()
        self.done = self.failed = self.not_sent = 0

    def add(self, row: Row) -> None:
        """Keep one ended request; one without `sent_s` was never sent."""
        _, due_s, sent_s, latency_ms, service_ms, _, ok, *_ = row
        self._rows.append(row)
        second = self._second
        second.done += 1
        if not ok:
            second.failed += 1
            self.failed += 1
        if sent_s is None:
            self.not_sent += 1
        else:
            self.done += 1
            second.lateness_ms.append((sent_s - due_s) * 1e3)
        if latency_ms is not None:
            second.latency_ms.append(latency_ms)
        if service_ms is not None:
            second.service_latency_ms.append(service_ms)
        if len(self._rows) >= ROWS_AT_ONCE:
            self.flush()

    def add_chunk(self, chunk: bytes) -> list[Columns]:
        """Keep the rows that another process encoded; returns their columns."""
        self._keep(chunk)
        found = []
        for columns, _ in decode(chunk):
            found.append(columns)
            sent_s, latency_ms, service_ms = (columns[n] for n in ("sent_s", "latency_ms", "service_latency_ms"))
            sent, failed = ~np.isnan(sent_s), int((columns["ok"] != 1).sum())
            self._second.done += len(sent)
            self._second.failed += failed
            self._second.lateness_ms += ((sent_s - columns["due_s"])[sent] * 1e3).tolist()
            self._second.latency_ms += latency_ms[~np.isnan(latency_ms)].tolist()
            self._second.service_latency_ms += service_ms[~np.isnan(service_ms)].tolist()
            self.done += int(sent.sum())
            self.not_sent += int((~sent).sum())
            self.failed += failed
        return found

    def flush(self) -> None:
        """Hand on what is held."""
        rows, self._rows = self._rows, []
        if rows:
            self._keep(encode(rows))

    def take_second(self) -> Second:
        """Return what ended since the last call, and begin anew."""
        second, self._second = self._second, Second()
        return second


def to_file(path: Path) -> Keep:
    """Append chunks to a file, each handed to the operating system at once: a killed run keeps them."""
    file = path.open("wb", buffering=0)

    def keep(chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            left = left[file.write(left) :]

    return keep


def _quantiles(values: list[float], levels: tuple[float, ...]) -> list[float | None]:
    if not values:
        return [None] * len(levels)
    return [round(float(value), 3) for value in np.quantile(values, levels)]
