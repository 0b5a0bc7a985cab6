"""So many users, each of which waits for its answer before it sends again: the closed loop of other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seamark.compute.arrivals import DURATION_MAX_S, DURATION_MIN_S, RATE_MAX_RPS, check_keys, check_number
from seamark.compute.load_shape import Segment, Segments, Shape, Users
from seamark.core.errors import Problem
from seamark.core.figures import figure
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration

USERS_MAX = 2_000  # as many as requests may be in flight


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {count, spawn_per_s, duration_s, wait_s}; `wait_s` is how long a user thinks, 0 by default."""
    problems: list[Problem] = []
    if not check_keys(params, ("count", "spawn_per_s", "duration_s", "wait_s"), problems):
        return problems
    count = check_number(params, "count", problems, least=1, most=USERS_MAX, unit="users")
    if count is not None and count != int(count):
        problems.append(Problem("count", f"{figure(count)} is not a whole number of users"))
    spawn = check_number(params, "spawn_per_s", problems, least=0.01, most=RATE_MAX_RPS, unit="users per second")
    duration = check_number(params, "duration_s", problems, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
    if "wait_s" in params:
        check_number(params, "wait_s", problems, least=0.0, most=3600.0, unit="seconds")
    if not problems and count and spawn and duration and count / spawn > duration:
        problems.append(
            Problem(
                "spawn_per_s",
                f"{figure(count)} users at {figure(spawn)} a second are not all there within {duration:g} s",
            )
        )
    return problems


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """One segment without planned arrivals."""
    users = Users(int(params["count"]), float(params["spawn_per_s"]), float(params.get("wait_s", 0.0)))
    yield Segment(0, 0.0, float(params["duration_s"]), np.empty(0), users=users)


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    return f"{figure(params['count'])} users, each waiting for its answer, for {format_duration(params['duration_s'])}"


def longest_s(params: Mapping[str, Any]) -> float:
    """Its duration."""
    return float(params["duration_s"])


SHAPE = Shape("users", check, segments, describe, longest_s, feedback=False)
