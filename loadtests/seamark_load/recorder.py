"""Requests as they end -> a samples file that a killed run keeps, and the figures of the last second.

The file is CSV, not Arrow: importing Arrow and its first conversion cost a second in which nothing could be sent. The
service reads it into core/records.py's LOAD_SAMPLES.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One ended request, as core/records.py's LOAD_SAMPLES describes it."""

    segment: int
    due_s: float
    sent_s: float | None
    latency_ms: float | None
    service_latency_ms: float | None
    http_status: int | None
    ok: bool
    error: str | None
    number: int | None = None
    first_token_ms: float | None = None
    time_per_token_ms: float | None = None
    tokens: int | None = None
    answer_matches: bool | None = None


COLUMNS = Row._fields


@dataclass
class Second:
    """What ended since the last look."""

    done: int = 0
    failed: int = 0
    latency_ms: list[float] = field(default_factory=list)
    lateness_ms: list[float] = field(default_factory=list)

    def quantiles(self) -> dict[str, Any]:
        """The figures of a progress line; None where nothing ended."""
        p50, p95, p99 = _quantiles(self.latency_ms, (0.5, 0.95, 0.99))
        (late_p99,) = _quantiles(self.lateness_ms, (0.99,))
        return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "lateness_p99_ms": late_p99}


class Recorder:
    """Holds rows until flush(), once a second, makes them safe from a kill."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8", errors="replace")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._rows: list[Row] = []
        self._second = Second()
        self.done = self.failed = self.not_sent = 0

    def add(self, row: Row) -> None:
        """Keep one ended request; one without `sent_s` was never sent."""
        due_s, sent_s, latency_ms, ok = row.due_s, row.sent_s, row.latency_ms, row.ok
        self._rows.append(row)
        second = self._second
        second.done += 1
        second.failed += not ok
        if sent_s is None:
            self.not_sent += 1
        else:
            self.done += 1
            second.lateness_ms.append((sent_s - due_s) * 1e3)
        self.failed += not ok
        if latency_ms is not None:
            second.latency_ms.append(latency_ms)

    def flush(self) -> None:
        """Hand what is held to the operating system."""
        rows, self._rows = self._rows, []
        self._writer.writerows(_text(row) for row in rows)
        self._file.flush()

    def close(self) -> None:
        """Write the rest. May be called twice."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def take_second(self) -> Second:
        """Return what ended since the last call, and begin anew."""
        second, self._second = self._second, Second()
        return second


def _text(row: Row) -> tuple[object, ...]:
    """Microseconds are enough; nothing is written for unknown."""
    return (
        row.segment,
        f"{row.due_s:.6f}",
        "" if row.sent_s is None else f"{row.sent_s:.6f}",
        _thousandths(row.latency_ms),
        _thousandths(row.service_latency_ms),
        _known(row.http_status),
        _flag(row.ok),
        # One row is one line, whatever an error says: the reader cuts a torn file at its last line end.
        "" if row.error is None else " ".join(row.error.split())[:300],
        _known(row.number),
        _thousandths(row.first_token_ms),
        _thousandths(row.time_per_token_ms),
        _known(row.tokens),
        _flag(row.answer_matches),
    )


def _thousandths(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _known(value: int | None) -> str:
    return "" if value is None else str(value)


def _flag(value: bool | None) -> str:
    return "" if value is None else "true" if value else "false"


def _quantiles(values: list[float], levels: tuple[float, ...]) -> list[float | None]:
    if not values:
        return [None] * len(levels)
    return [round(float(value), 3) for value in np.quantile(values, levels)]
