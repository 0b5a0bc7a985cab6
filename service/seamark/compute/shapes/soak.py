"""One rate for a long time, told in parts: what leaks or grows is slower in the last part than in the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seamark.compute.arrivals import (
    DURATION_MAX_S,
    RATE_MAX_RPS,
    RATE_MIN_RPS,
    check_keys,
    check_number,
    check_total,
    poisson,
)
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.figures import figure
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration

PARTS = 10
DURATION_MIN_S = 10.0


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {rate_rps, duration_s}."""
    problems: list[Problem] = []
    if not check_keys(params, ("rate_rps", "duration_s"), problems):
        return problems
    rate = check_number(params, "rate_rps", problems, least=RATE_MIN_RPS, most=RATE_MAX_RPS, unit="requests per second")
    duration = check_number(params, "duration_s", problems, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
    if rate and duration:
        check_total(rate * duration, duration, problems)
    return problems


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """Ten Poisson segments of one rate, without gaps; each must hold the thresholds."""
    rng = np.random.default_rng(seed)
    rate, duration = float(params["rate_rps"]), float(params["duration_s"]) / PARTS
    for index in range(PARTS):
        yield Segment(index, rate, duration, poisson(rate, duration, rng))


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    return f"soak: {figure(params['rate_rps'])} requests/s for {format_duration(params['duration_s'])} in {PARTS} parts"


def longest_s(params: Mapping[str, Any]) -> float:
    """Its duration."""
    return float(params["duration_s"])


SHAPE = Shape("soak", check, segments, describe, longest_s, feedback=False)
