"""One rate after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seamark.compute.arrivals import (
    DURATION_MAX_S,
    DURATION_MIN_S,
    RATE_MAX_RPS,
    check_keys,
    check_number,
    check_total,
    poisson,
    ramped,
)
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.figures import figure
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration

STAGES_MAX = 200


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {stages: [{rate_rps, duration_s, to_rps}, ...]}.

    A rate of 0 is a pause; with `to_rps` the rate changes evenly from one to the other.
    """
    problems: list[Problem] = []
    if not check_keys(params, ("stages",), problems):
        return problems
    stages = params.get("stages")
    if not isinstance(stages, list | tuple) or not 1 <= len(stages) <= STAGES_MAX:
        problems.append(
            Problem("stages", f"write a list of 1 to {STAGES_MAX} stages like {{rate_rps: 50, duration_s: 60}}")
        )
        return problems
    total = requests = 0.0
    for index, stage in enumerate(stages):
        own: list[Problem] = []
        if check_keys(stage, ("rate_rps", "duration_s", "to_rps"), own):
            rate = check_number(stage, "rate_rps", own, least=0.0, most=RATE_MAX_RPS, unit="requests per second")
            duration = check_number(stage, "duration_s", own, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
            last = rate
            if "to_rps" in stage:
                last = check_number(stage, "to_rps", own, least=0.0, most=RATE_MAX_RPS, unit="requests per second")
            if rate is not None and last is not None and duration is not None:
                total, requests = total + duration, requests + (rate + last) / 2 * duration
        problems += [Problem(f"stages[{index}]{'.' if p.field else ''}{p.field}", p.message) for p in own]
    check_total(requests, total, problems)
    if not problems and requests == 0.0:
        problems.append(Problem("stages", "no stage sends anything; give one a rate_rps above 0"))
    return problems


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """A Poisson segment per stage, without gaps."""
    rng = np.random.default_rng(seed)
    for index, stage in enumerate(params["stages"]):
        first, last, duration = _first(stage), _last(stage), float(stage["duration_s"])
        mean = (first + last) / 2
        even = poisson(mean, duration, rng)
        yield Segment(index, mean, duration, even if first == last else ramped(even, first, last, duration))


def _first(stage: Mapping[str, Any]) -> float:
    return max(float(stage["rate_rps"]), 0.0)


def _last(stage: Mapping[str, Any]) -> float:
    return max(float(stage.get("to_rps", stage["rate_rps"])), 0.0)


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    stages = params["stages"]
    rates = " → ".join(_told(stage) for stage in stages[:8]) + (" → …" if len(stages) > 8 else "")
    return f"{rates} requests/s in {len(stages)} stages over {format_duration(longest_s(params))}"


def _told(stage: Mapping[str, Any]) -> str:
    return f"{figure(stage['rate_rps'])}" + (f"…{figure(stage['to_rps'])}" if "to_rps" in stage else "")


def longest_s(params: Mapping[str, Any]) -> float:
    """The sum of the durations."""
    return float(sum(float(stage["duration_s"]) for stage in params["stages"]))


SHAPE = Shape("stages", check, segments, describe, longest_s, feedback=False)
