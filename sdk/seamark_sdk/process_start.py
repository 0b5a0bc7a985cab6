"""What the kernel knows of this process -> when it began, as OpenTelemetry's `process.creation.time` has it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

_STARTED = 19  # proc(5): the 22nd field of stat, of which the first two stand before the last bracket


def process_started_at(proc: str = "/proc") -> str | None:
    """Return when this process began, RFC 3339 in UTC; None where the system does not say (only Linux does).

    In a forked child it is what the parent's was when the resource was made: workers of one server share a start.
    """
    try:
        fields = Path(proc, "self", "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[_STARTED])
        booted = next(line for line in Path(proc, "stat").read_text().splitlines() if line.startswith("btime "))
        started_s = int(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
        return datetime.fromtimestamp(started_s, UTC).isoformat(timespec="milliseconds")
    except (OSError, ValueError, LookupError, StopIteration, OverflowError):
        return None
