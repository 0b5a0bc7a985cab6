"""The `baseline` part of a load test in seamark.yaml becomes a BaselineSpec; every mistake is noted with its line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from seamark.core.baseline import REPEAT_MAX, RUNS_DEFAULT, RUNS_MAX, RUNS_MIN, BaselineSpec
from seamark.wire.checks import Checker, join
from seamark.wire.values import shown

KEYS = ("runs", "repeat", "fail_on", "since")
FAIL_ON = ("never", "regression")


def read_baseline(checker: Checker, value: Any, path: str) -> BaselineSpec:
    """Return what is asked for; the defaults where nothing is, or where the checker has noted a mistake."""
    found = checker.mapping({} if value is None else value, path, KEYS, "a baseline")
    if found is None:
        return BaselineSpec()
    runs = checker.whole(found.get("runs"), join(path, "runs"), least=RUNS_MIN, most=RUNS_MAX)
    repeat = checker.whole(found.get("repeat"), join(path, "repeat"), least=1, most=REPEAT_MAX)
    fail_on = found.get("fail_on")
    if fail_on is not None and fail_on not in FAIL_ON:
        checker.wrong(join(path, "fail_on"), f"{shown(fail_on)} is unknown here; write {' or '.join(FAIL_ON)}")
    since = _instant(checker, found.get("since"), join(path, "since"))
    return BaselineSpec(runs or RUNS_DEFAULT, repeat or 1, fail_on == "regression", since)


def _instant(checker: Checker, value: Any, path: str) -> datetime | None:
    """A day (from its first instant in UTC) or an instant with its offset from UTC."""
    if value is None:
        return None
    read = value
    if isinstance(value, str):
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            read = None
        if read is not None and len(value) == len("2026-03-01"):
            read = read.date()
    if isinstance(read, datetime):
        if read.tzinfo is not None:
            try:
                return read.astimezone(UTC)
            except OverflowError:  # the first or the last day there is, moved beyond it
                read = None
    elif isinstance(read, date):
        return datetime(read.year, read.month, read.day, tzinfo=UTC)
    right = "write a day, like 2026-03-01, or an instant with its offset, like 2026-03-01T12:00:00Z"
    checker.wrong(path, f"{shown(value)} is no instant; {right}")
    return None
