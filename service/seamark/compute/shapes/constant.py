"""One rate for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seamark.compute.arrivals import (
    DURATION_MAX_S,
    DURATION_MIN_S,
    RATE_MAX_RPS,
    RATE_MIN_RPS,
    check_keys,
    check_number,
    check_total,
    poisson,
    uniform,
)
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.figures import figure
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration

ARRIVALS = ("poisson", "uniform")


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {rate_rps, duration_s, arrivals}."""
    problems: list[Problem] = []
    if not check_keys(params, ("rate_rps", "duration_s", "arrivals"), problems):
        return problems
    rate = check_number(params, "rate_rps", problems, least=RATE_MIN_RPS, most=RATE_MAX_RPS, unit="requests per second")
    duration = check_number(params, "duration_s", problems, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
    arrivals = params.get("arrivals", "poisson")
    if arrivals not in ARRIVALS:
        problems.append(Problem("arrivals", f"{str(arrivals)[:60]!r} is not known; known are {', '.join(ARRIVALS)}"))
    if rate and duration:
        check_total(rate * duration, duration, problems)
    return problems


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """One segment."""
    rate, duration = float(params["rate_rps"]), float(params["duration_s"])
    even = params.get("arrivals", "poisson") == "uniform"
    arrivals = uniform(rate, duration) if even else poisson(rate, duration, np.random.default_rng(seed))
    yield Segment(0, rate, duration, arrivals)


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    arrivals = params.get("arrivals", "poisson")
    return f"{figure(params['rate_rps'])} requests/s for {format_duration(params['duration_s'])}, {arrivals} arrivals"


def longest_s(params: Mapping[str, Any]) -> float:
    """Its duration."""
    return float(params["duration_s"])


SHAPE = Shape("constant", check, segments, describe, longest_s, feedback=False)
