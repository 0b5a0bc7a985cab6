"""A search for the highest rate that holds the thresholds: a walk up, then steps about the crossing, each Poisson."""

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
from seamark.compute.capacity_search import Search, pause_s
from seamark.compute.capacity_search import longest_s as search_longest_s
from seamark.compute.hopeless import StepWatch
from seamark.compute.load_shape import Segment, Segments, Shape
from seamark.core.errors import Problem
from seamark.core.thresholds import Threshold
from seamark.core.windows import format_duration


def check(params: Mapping[str, Any]) -> list[Problem]:
    """Every problem of {start_rps, stop_rps, step_s}."""
    problems: list[Problem] = []
    if not check_keys(params, ("start_rps", "stop_rps", "step_s"), problems):
        return problems
    start = check_number(
        params, "start_rps", problems, least=RATE_MIN_RPS, most=RATE_MAX_RPS, unit="requests per second"
    )
    stop = check_number(params, "stop_rps", problems, least=RATE_MIN_RPS, most=RATE_MAX_RPS, unit="requests per second")
    step = check_number(params, "step_s", problems, least=DURATION_MIN_S, most=DURATION_MAX_S, unit="seconds")
    if start and stop and start > stop:
        problems.append(Problem("stop_rps", f"{stop:g} is below start_rps {start:g}"))
    if start and stop and step and not problems:
        longest = longest_s(params)
        check_total(longest * stop, longest, problems)
    return problems


def segments(params: Mapping[str, Any], thresholds: Sequence[Threshold], seed: int) -> Segments:
    """A segment per step, the next one chosen by how the last one went; after one that did not hold, a pause.

    A target may still be at work on requests that nobody waits for any more: what is left of a step that was too much
    must not spoil the next one. A pause is a segment of rate 0 without arrivals.
    """
    rng = np.random.default_rng(seed)
    step_s = float(params["step_s"])
    search = Search(float(params["start_rps"]), float(params["stop_rps"]), step_s, thresholds)
    index, step = 0, search.next_step()
    while step is not None:
        rate, duration_s = step
        result = yield Segment(index, rate, duration_s, poisson(rate, duration_s, rng))
        held, index = search.observe(result), index + 1
        step = search.next_step()
        if not held and step is not None:
            yield Segment(index, 0.0, pause_s(step_s), np.empty(0))
            index += 1


def describe(params: Mapping[str, Any]) -> str:
    """One line."""
    step = format_duration(params["step_s"])
    return f"search from {params['start_rps']:g} to {params['stop_rps']:g} requests/s in steps of {step} or more"


def longest_s(params: Mapping[str, Any]) -> float:
    """The time after which a search ends, however little it knows."""
    return search_longest_s(float(params["start_rps"]), float(params["stop_rps"]), float(params["step_s"]))


SHAPE = Shape("capacity", check, segments, describe, longest_s, feedback=True, give_up=StepWatch)
