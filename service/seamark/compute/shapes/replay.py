"""Recorded arrivals at their recorded timing, or faster or slower: the model's own traffic once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from math import ceil, isfinite
from typing import Any

import numpy as np

from seamark.compute.arrivals import DURATION_MAX_S, DURATION_MIN_S, REQUESTS_MAX, check_keys, check_number
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration, parse_duration

PART_S = 10.0  # one rate is told for each, so that what was asked for can be drawn
PARTS_MAX = 500
SPEED_MIN, SPEED_MAX = 0.01, 100.0
SPAN_MAX_S = 31 * 86_400.0


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {last, speed}, {from, to, speed} or {instants_s, speed}.

    `last` is a duration back from the run's start, `from` and `to` are instants as RFC 3339 writes them; of both the
    model's predictions are taken. `instants_s` gives the arrivals themselves, in seconds, ascending. A `speed` of 2
    takes half the time.
    """
    problems: list[Problem] = []
    if not check_keys(params, ("last", "from", "to", "instants_s", "speed"), problems):
        return problems
    if "speed" in params:
        check_number(params, "speed", problems, least=SPEED_MIN, most=SPEED_MAX, unit="times as fast")
    sources = [name for name in ("last", "from", "instants_s") if name in params or (name == "from" and "to" in params)]
    if len(sources) != 1:
        told = "one of last, from and to, or instants_s"
        problems.append(Problem(sources[1] if sources else "last", f"is missing or one too many; write {told}"))
        return problems
    {"last": _check_last, "from": _check_between, "instants_s": _check_instants}[sources[0]](params, problems)
    if not problems and longest_s(params) > DURATION_MAX_S:
        told = f"takes {longest_s(params):.0f} s; at most {DURATION_MAX_S:.0f} s are run: take less, or a higher speed"
        problems.append(Problem(sources[0], told))
    return problems


def _check_last(params: Mapping[str, Any], problems: list[Problem]) -> None:
    try:
        span_s = parse_duration(params["last"]) if isinstance(params["last"], str) else 0.0
    except ValueError:
        span_s = 0.0
    if not DURATION_MIN_S <= span_s <= SPAN_MAX_S:
        problems.append(
            Problem("last", f"{str(params['last'])[:60]!r} is not a duration of up to 31d; write one like 1h")
        )


def _check_between(params: Mapping[str, Any], problems: list[Problem]) -> None:
    for name in ("from", "to"):
        if name not in params:
            problems.append(Problem(name, "is missing; write an instant like 2026-01-31T09:00:00Z"))
        elif _instant(params[name]) is None:
            told = (
                f"{str(params[name])[:60]!r} is not an instant with its time zone; write one like 2026-01-31T09:00:00Z"
            )
            problems.append(Problem(name, told))
    if not problems and not DURATION_MIN_S <= _span_s(params) <= SPAN_MAX_S:
        problems.append(Problem("to", "must come after from, by 31d at most"))


def _check_instants(params: Mapping[str, Any], problems: list[Problem]) -> None:
    values = params["instants_s"]
    if not isinstance(values, list | tuple) or not 0 < len(values) <= REQUESTS_MAX:
        problems.append(Problem("instants_s", f"is not a list of 1 to {REQUESTS_MAX:.0f} numbers"))
        return
    good = all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1e9 and isfinite(v) for v in values)
    if not good or any(b < a for a, b in pairwise(values)):
        problems.append(Problem("instants_s", "is not a list of ascending numbers of seconds, from 0"))


def window(params: Mapping[str, Any]) -> tuple[datetime, datetime] | float | None:
    """Return what of the prediction log is to be replayed: from and to, the last so many seconds, or nothing of it."""
    if "last" in params:
        return parse_duration(params["last"])
    start, end = _instant(params.get("from")), _instant(params.get("to"))
    return (start, end) if start and end else None


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """Parts of the recorded time, each with the arrivals that fall into it."""
    speed = float(params.get("speed", 1.0))
    instants = np.asarray(params.get("instants_s", ()), dtype=np.float64) / speed
    total_s = longest_s(params)
    parts = max(1, min(PARTS_MAX, ceil(total_s / PART_S)))
    edges = np.linspace(0.0, total_s, parts + 1)
    cuts = np.searchsorted(instants, edges)
    cuts[-1] = len(instants)
    for index in range(parts):
        arrivals = instants[cuts[index] : cuts[index + 1]] - edges[index]
        duration_s = float(edges[index + 1] - edges[index])
        yield Segment(index, len(arrivals) / duration_s, duration_s, np.minimum(arrivals, np.nextafter(duration_s, 0)))


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    speed = f" at {params['speed']:g} times the speed" if params.get("speed", 1.0) != 1.0 else ""
    if "last" in params:
        return f"the recorded arrivals of the last {params['last']}{speed}"
    if "instants_s" in params and "from" not in params:
        return f"{len(params['instants_s'])} given arrivals over {format_duration(round(longest_s(params), 3))}{speed}"
    return f"the recorded arrivals from {params['from']} to {params['to']}{speed}"


def longest_s(params: Mapping[str, Any]) -> float:
    """The recorded span over the speed."""
    return max(_span_s(params) / float(params.get("speed", 1.0)), DURATION_MIN_S)


def _span_s(params: Mapping[str, Any]) -> float:
    if "last" in params:
        return parse_duration(params["last"])
    if "from" in params:
        start, end = _instant(params["from"]), _instant(params["to"])
        assert start is not None and end is not None, "check() refuses what is no instant"
        return (end - start).total_seconds()
    return float(params["instants_s"][-1]) + DURATION_MIN_S


def _instant(value: Any) -> datetime | None:
    """An instant with its time zone; YAML has some of them read already."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


SHAPE = Shape("replay", check, segments, describe, longest_s, feedback=False)
