"""A quiet rate, a sudden peak, and the quiet rate again, to see whether the target comes back by itself."""

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
)
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.figures import figure
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {base_rps, peak_rps, spike_s, before_s, after_s}; the last two are as long as the spike."""
    problems: list[Problem] = []
    if not check_keys(params, ("base_rps", "peak_rps", "spike_s", "before_s", "after_s"), problems):
        return problems
    base, peak = (
        check_number(params, name, problems, least=RATE_MIN_RPS, most=RATE_MAX_RPS, unit="requests per second")
        for name in ("base_rps", "peak_rps")
    )
    for name in ("spike_s", "before_s", "after_s"):
        if name in params or name == "spike_s":
            check_number(params, name, problems, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
    if base and peak and base >= peak:
        problems.append(Problem("peak_rps", f"{figure(peak)} is no peak over base_rps {figure(base)}"))
    if not problems:
        check_total(sum(rps * span for rps, span in _parts(params)), longest_s(params), problems)
    return problems


def _parts(params: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Rates and seconds of the three parts."""
    base, spike_s = float(params["base_rps"]), float(params["spike_s"])
    before_s, after_s = (float(params.get(name, spike_s)) for name in ("before_s", "after_s"))
    return [(base, before_s), (float(params["peak_rps"]), spike_s), (base, after_s)]


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """Three Poisson segments without gaps."""
    rng = np.random.default_rng(seed)
    for index, (rate, duration) in enumerate(_parts(params)):
        yield Segment(index, rate, duration, poisson(rate, duration, rng))


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    spike = format_duration(params["spike_s"])
    return f"{figure(params['base_rps'])} requests/s with a spike of {figure(params['peak_rps'])} for {spike}"


def longest_s(params: Mapping[str, Any]) -> float:
    """The sum of the three parts."""
    return sum(span for _, span in _parts(params))


SHAPE = Shape("spike", check, segments, describe, longest_s, feedback=False)
