"""Every load shape keeps the contract of compute/load_shape.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute import shapes
from seamark.compute.arrivals import DURATION_MAX_S, RATE_MAX_RPS, REQUESTS_MAX
from seamark.compute.load_shape import Segment, SegmentResult, Shape
from seamark.compute.shapes import SHAPES
from seamark.core.thresholds import parse_threshold

FOLDER = Path(shapes.__file__).parent
THRESHOLDS = (parse_threshold("p95(latency_ms) < 100"),)

# Good parameters of every shape; a new shape adds its own here.
GOOD: dict[str, list[dict[str, Any]]] = {
    "constant": [
        {"rate_rps": 50, "duration_s": 20},
        {"rate_rps": 0.5, "duration_s": 100.0, "arrivals": "poisson"},
        {"rate_rps": 40.0, "duration_s": 2.5, "arrivals": "uniform"},
    ],
    "stages": [
        {
            "stages": [
                {"rate_rps": 20, "duration_s": 10},
                {"rate_rps": 0, "duration_s": 5},
                {"rate_rps": 90, "duration_s": 7},
            ]
        },
    ],
    "replay": [
        {"last": "1h", "speed": 6},
        {"from": "2026-01-31T09:00:00Z", "to": "2026-01-31T09:05:00+00:00"},
        {"instants_s": [0, 0.5, 0.5, 3.25, 61.0], "speed": 2.0},
    ],
    "soak": [{"rate_rps": 8, "duration_s": 100}],
    "spike": [
        {"base_rps": 5, "peak_rps": 50, "spike_s": 4},
        {"base_rps": 5, "peak_rps": 50.5, "spike_s": 4, "before_s": 10, "after_s": 20},
    ],
    "users": [
        {"count": 10, "spawn_per_s": 5, "duration_s": 10},
    ],
    "capacity": [
        {"start_rps": 10, "stop_rps": 400, "step_s": 4},
        {"start_rps": 100, "stop_rps": 100, "step_s": 1.5},
    ],
}
# What may be left out.
OPTIONAL = {"arrivals", "speed", "before_s", "after_s", "wait_s"}
# Planned by nobody's seed: recorded or given instants, and users who send when they have their answer.
UNSEEDED = {"replay", "users"}
ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "12",
    "x" * 500,
    [],
    {},
    [[]],
    10**400,
    1e-320,
    b"1",
    object(),
]

each = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
good = pytest.mark.parametrize(
    "shape, params",
    [pytest.param(SHAPES[name], p, id=f"{name}-{i}") for name, all_ in GOOD.items() for i, p in enumerate(all_)],
)


def server(carries_rps: float) -> Callable[[Segment], SegmentResult]:
    """A target that answers in 20 ms up to a rate, and in a second above it."""

    def run(segment: Segment) -> SegmentResult:
        count = len(segment.arrivals)
        latency = np.full(count, 20.0 if segment.asked_rps <= carries_rps else 1000.0)
        return SegmentResult(segment, latency, latency, np.zeros(count), np.ones(count, dtype=bool))

    return run


def walk(shape: Shape, params: dict[str, Any], seed: int = 1, carries_rps: float = 120.0) -> list[Segment]:
    run, found = server(carries_rps), []
    generator = shape.segments(params, THRESHOLDS, seed)
    try:
        segment = next(generator)
        while True:
            found.append(segment)
            segment = generator.send(run(segment))
    except StopIteration:
        return found


def test_each_file_of_the_folder_is_registered_under_its_name() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files == set(SHAPES), "write the shape's line in compute/shapes/__init__.py"
    assert all(name == shape.name for name, shape in SHAPES.items())
    assert set(GOOD) == set(SHAPES), "give the new shape good parameters here"


@good
def test_good_parameters_have_no_problem_and_can_be_told(shape: Shape, params: dict[str, Any]) -> None:
    before = copy.deepcopy(params)
    assert shape.check(params) == []
    assert shape.describe(params) and "\n" not in shape.describe(params)
    walk(shape, params)
    assert params == before


@good
def test_segments_are_numbered_and_their_arrivals_lie_within_them_in_order(
    shape: Shape, params: dict[str, Any]
) -> None:
    segments = walk(shape, params)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    for segment in segments:
        assert segment.duration_s > 0 and segment.arrivals.dtype == np.float64
        assert (np.diff(segment.arrivals) >= 0).all()
        assert not len(segment.arrivals) or (segment.arrivals[0] >= 0 and segment.arrivals[-1] < segment.duration_s)


@good
def test_as_many_arrive_as_the_rate_says(shape: Shape, params: dict[str, Any]) -> None:
    for segment in walk(shape, params):
        expected = segment.asked_rps * segment.duration_s
        assert abs(len(segment.arrivals) - expected) <= 5 * np.sqrt(expected) + 1


@good
def test_a_seed_makes_one_run(shape: Shape, params: dict[str, Any]) -> None:
    first, again, other = (walk(shape, params, seed) for seed in (7, 7, 8))
    assert [s.arrivals.tolist() for s in first] == [s.arrivals.tolist() for s in again]
    if params.get("arrivals") != "uniform" and shape.name not in UNSEEDED:
        assert [s.arrivals.tolist() for s in first] != [s.arrivals.tolist() for s in other]


@good
def test_no_run_is_longer_than_it_says(shape: Shape, params: dict[str, Any]) -> None:
    for carries_rps in (0.0, 3.0, 55.0, 120.0, 1e9):
        total_s = sum(segment.duration_s for segment in walk(shape, params, carries_rps=carries_rps))
        assert total_s <= shape.longest_s(params) * (1 + 1e-9) <= DURATION_MAX_S * (1 + 1e-9)


@good
def test_each_missing_unknown_or_odd_parameter_is_named(shape: Shape, params: dict[str, Any]) -> None:
    assert [p.field for p in shape.check({**params, "spikes": 3})] == ["spikes"]
    for name in params:
        if name not in OPTIONAL:
            found = shape.check({key: value for key, value in params.items() if key != name})
            assert [p.field for p in found] == [name if shape.name != "replay" or name in ("from", "to") else "last"]
        for value in ODD:
            found = shape.check({**params, name: value})
            assert found and all(p.field.startswith(name) for p in found), (name, value)
            assert all(p.message and len(str(p)) < 600 for p in found)


@each
@pytest.mark.parametrize(
    "params", [None, [], "constant", 3, {1: 2}, {None: None}, {"": ""}, {"x" * 10_000: 1}], ids=repr
)
def test_what_are_no_parameters_at_all_is_refused(shape: Shape, params: Any) -> None:
    found = shape.check(params)
    assert found and all(len(str(problem)) < 600 for problem in found)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rate_rps", "duration_s", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)
names = st.sampled_from(["rate_rps", "duration_s", "arrivals", "stages", "start_rps", "stop_rps", "step_s", "other"])


@each
@given(params=st.dictionaries(names, values, max_size=5))
def test_check_never_raises_and_what_it_lets_through_runs_within_bounds(shape: Shape, params: dict[str, Any]) -> None:
    if shape.check(params):
        return
    assert shape.describe(params)
    assert 0 < shape.longest_s(params) <= DURATION_MAX_S
    first = next(shape.segments(params, THRESHOLDS, 1))
    assert 0 <= first.asked_rps <= RATE_MAX_RPS and len(first.arrivals) <= REQUESTS_MAX * 1.1


@pytest.mark.parametrize(
    "name, params, words",
    [
        ("constant", {"rate_rps": 10_001, "duration_s": 1}, "to 10000 (req"),
        ("constant", {"rate_rps": 1, "duration_s": 6 * 3600 + 1}, "to 21600 (sec"),
        ("constant", {"rate_rps": 10_000, "duration_s": 1000}, "sends 10000000 requests"),
        ("constant", {"rate_rps": 10, "duration_s": 10, "arrivals": "bursts"}, "known are poisson, uniform"),
        ("stages", {"stages": [{"rate_rps": 1, "duration_s": 20_000}] * 2}, "takes 40000 s"),
        ("stages", {"stages": [{"rate_rps": 0, "duration_s": 20}]}, "no stage sends anything"),
        ("stages", {"stages": [{"rate_rps": 1, "duration_s": 1}] * 201}, "1 to 200"),
        ("capacity", {"start_rps": 20, "stop_rps": 10, "step_s": 1}, "below start_rps 20"),
        ("capacity", {"start_rps": 1, "stop_rps": 2, "step_s": 9000}, "takes"),
    ],
)
def test_what_is_too_much_is_refused_with_the_bound(name: str, params: dict[str, Any], words: str) -> None:
    assert any(words in str(problem) for problem in SHAPES[name].check(params))


def test_stages_are_run_as_written() -> None:
    [params] = GOOD["stages"]
    told = [(segment.asked_rps, segment.duration_s) for segment in walk(SHAPES["stages"], params)]
    assert told == [(20.0, 10.0), (0.0, 5.0), (90.0, 7.0)]
    assert "20 → 0 → 90" in SHAPES["stages"].describe(params)


def test_uniform_arrivals_are_even() -> None:
    [segment] = walk(SHAPES["constant"], {"rate_rps": 4, "duration_s": 2, "arrivals": "uniform"})
    assert segment.arrivals.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


@pytest.mark.parametrize("carries_rps", [11.0, 37.0, 120.0, 333.0])
def test_a_search_closes_in_on_what_the_target_carries(carries_rps: float) -> None:
    segments = [s for s in walk(SHAPES["capacity"], GOOD["capacity"][0], carries_rps=carries_rps) if s.asked_rps]
    held = max(s.asked_rps for s in segments if s.asked_rps <= carries_rps)
    failed = min(s.asked_rps for s in segments if s.asked_rps > carries_rps)
    assert failed / held <= 1.15
    assert sum(s.duration_s for s in segments) <= SHAPES["capacity"].longest_s(GOOD["capacity"][0])


@pytest.mark.parametrize("carries_rps", [0.7, 11.0, 37.0, 390.0])
def test_a_search_never_asks_for_more_than_twice_what_held(carries_rps: float) -> None:
    held = 0.0
    for segment in walk(SHAPES["capacity"], GOOD["capacity"][0], carries_rps=carries_rps):
        assert segment.asked_rps <= max(2 * held, GOOD["capacity"][0]["start_rps"])
        held = max(held, segment.asked_rps if segment.asked_rps <= carries_rps else 0.0)


def test_a_search_doubles_first_stops_at_the_top_and_goes_below_its_start() -> None:
    rates = [s.asked_rps for s in walk(SHAPES["capacity"], GOOD["capacity"][0], carries_rps=1e9)]
    assert rates == [10, 20, 40, 80, 160, 320, 400]
    rates = [s.asked_rps for s in walk(SHAPES["capacity"], GOOD["capacity"][0], carries_rps=0.0) if s.asked_rps]
    assert rates == [10, 10, 5, 2.5, 1.25, 0.625]


def test_after_a_step_that_was_too_much_the_target_is_given_a_pause() -> None:
    segments = walk(SHAPES["capacity"], GOOD["capacity"][0], carries_rps=50.0)
    for before, segment in pairwise(segments):
        assert (segment.asked_rps == 0) == (before.asked_rps > 50.0)
    pauses = [s for s in segments if not s.asked_rps]
    assert pauses and all(s.duration_s == 1.0 and not len(s.arrivals) for s in pauses)
    assert segments[-1].asked_rps > 0


def test_a_ramp_sends_more_where_its_rate_is_higher() -> None:
    stages = [{"rate_rps": 0, "to_rps": 200, "duration_s": 40}, {"rate_rps": 200, "to_rps": 50, "duration_s": 40}]
    up, down = walk(SHAPES["stages"], {"stages": stages})
    assert (up.asked_rps, down.asked_rps) == (100, 125)
    # Of a rate that rises evenly from 0 a quarter has come at half the time.
    assert np.mean(up.arrivals < 20) == pytest.approx(0.25, abs=0.03)
    assert np.mean(down.arrivals < 20) == pytest.approx(0.65, abs=0.03)
    assert "0…200" in SHAPES["stages"].describe({"stages": stages})


def test_recorded_arrivals_come_at_their_instants_or_faster() -> None:
    recorded = [0.0, 1.0, 1.0, 15.0, 59.9]
    for speed in (1.0, 4.0):
        segments = walk(SHAPES["replay"], {"last": "1m", "speed": speed, "instants_s": recorded})
        starts = np.cumsum([0.0, *(s.duration_s for s in segments)])
        told = np.concatenate([s.arrivals + start for s, start in zip(segments, starts, strict=False)])
        assert told == pytest.approx(np.array(recorded) / speed)


def test_a_spike_lies_between_two_quiet_parts_of_its_own_length() -> None:
    told = [(s.asked_rps, s.duration_s) for s in walk(SHAPES["spike"], GOOD["spike"][0])]
    assert told == [(5, 4), (50, 4), (5, 4)]


@pytest.mark.parametrize(
    "name, params, words",
    [
        ("users", {"count": 100, "spawn_per_s": 1, "duration_s": 5}, "not all there"),
        ("users", {"count": 1.5, "spawn_per_s": 1, "duration_s": 5}, "whole number"),
        ("users", {"count": 1, "spawn_per_s": 1, "duration_s": 5, "wait_s": -1}, "wait_s"),
        ("spike", {"base_rps": 9, "peak_rps": 8, "spike_s": 5}, "no peak"),
        ("replay", {"last": "30d"}, "a higher speed"),
        ("replay", {"last": "1h", "instants_s": [1]}, "write one of"),
        ("replay", {"from": "2026-01-31T09:00:00", "to": "2026-01-31T10:00:00Z"}, "time zone"),
        ("replay", {"from": "2026-01-31T09:00:00Z", "to": "2026-01-31T08:00:00Z"}, "after from"),
        ("replay", {"instants_s": [2, 1]}, "ascending"),
    ],
)
def test_what_cannot_be_is_refused(name: str, params: dict[str, Any], words: str) -> None:
    assert any(words in str(problem) for problem in SHAPES[name].check(params))
