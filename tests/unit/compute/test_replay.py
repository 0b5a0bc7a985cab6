"""Advice made, stored as JSON, read and made again comes out the same: a decision reads nothing but what it tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamark.compute.autoscale import SCALE_IN_HOLD_S, recommend
from seamark.compute.replay import departures, replay
from seamark.core.advice import (
    AdviceInput,
    Forecast,
    PastAdvice,
    Recommendation,
    ReplicaCapacity,
    WarmFloor,
    short_form,
)
from seamark.core.findings import to_document
from seamark.core.specs import AutoscaleSpec, MetricInput, StepLimit

START = datetime(2026, 3, 1, tzinfo=UTC)
WILD = st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0, 1e308])
NUMBERS = st.one_of(st.sampled_from([0.0, 1e-300, 0.3, 7.0, 1e9, 1e300]), st.floats(0, 500))
COUNTS = st.one_of(st.none(), st.integers(0, 60))
LIMITS = st.one_of(
    st.none(), st.builds(StepLimit, replicas=st.integers(1, 9)), st.builds(StepLimit, share=st.floats(0.01, 3))
)


@st.composite
def specs(draw: st.DrawFn) -> AutoscaleSpec:
    least = draw(st.integers(0, 5))
    return AutoscaleSpec(
        min=least,
        max=least + draw(st.integers(1, 60)),
        cost_per_replica_hour=draw(st.one_of(st.none(), st.floats(0, 9))),
        utilisation=draw(st.one_of(st.none(), st.just(MetricInput("gpu", limit=0.8)))),
        scale_out_most=draw(LIMITS),
        scale_in_most=draw(LIMITS),
        warm=draw(COUNTS),
        warm_auto=draw(st.booleans()),
    )


@st.composite
def forecasts(draw: st.DrawFn, at: datetime) -> Forecast:
    p10, p50, p90, p99 = sorted(draw(NUMBERS) for _ in range(4))
    state, rise = draw(st.sampled_from(["ok", "ok", "stale"])), draw(st.floats(1, 5))
    return Forecast(at, draw(st.floats(10, 400)), state, "trend", p10, p50, p90, p99, rise)


@st.composite
def moments(draw: st.DrawFn, at: datetime) -> dict[str, Any]:
    """All that a decision at an instant is told."""
    inputs = [
        AdviceInput(name, name, draw(st.sampled_from(["fresh", "stale"])), draw(NUMBERS | WILD), at)
        for name in ("utilisation", "queue_length", "replicas")
        if draw(st.booleans())
    ]
    return {
        "arrivals_rps_last_minute": draw(st.none() | NUMBERS | WILD),
        "forecast": draw(st.one_of(st.none(), forecasts(at))),
        "capacity": draw(st.one_of(st.none(), st.builds(ReplicaCapacity, NUMBERS | WILD))),
        "current": draw(COUNTS),
        "inputs": inputs,
        "warm_floor": draw(st.one_of(st.none(), st.builds(WarmFloor, st.just("ok"), st.floats(0, 14), COUNTS))),
    }


@st.composite
def sequences(draw: st.DrawFn) -> list[Recommendation]:
    """Advice as the service gives it: each knows the advice of the minutes before; the spec changes now and then."""
    spec, at, made = draw(specs()), START, list[Recommendation]()
    for _ in range(draw(st.integers(1, 12))):
        at += timedelta(seconds=draw(st.sampled_from([10.0, 10.0, 30.0, 200.0, 900.0, -40.0])))
        spec = draw(specs()) if draw(st.integers(0, 5)) == 0 else spec
        recent = [one for one in made if (at - one.at).total_seconds() <= SCALE_IN_HOLD_S] or made[-1:]
        made.append(recommend("m", at, spec, recent=recent, **draw(moments(at))))
    return made


def stored(advice: Recommendation) -> Recommendation:
    """As the catalog has it: JSON, and back."""
    return msgspec.json.decode(msgspec.json.encode(to_document(short_form(advice))), type=Recommendation)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(sequences())
def test_a_stored_sequence_gives_the_same_advice_again(made: list[Recommendation]) -> None:
    kept = [stored(one) for one in made]
    assert kept == made
    for one in made:  # what later decisions read of it, out of the same text
        light = msgspec.json.decode(msgspec.json.encode(to_document(short_form(one))), type=PastAdvice)
        assert light == PastAdvice(one.at, one.state, one.replicas, one.needed)
    for one in kept:
        again = replay(one)  # from itself alone: the advice before it may be gone
        assert again is not None and departures(one, again) == ()
        assert one.before is not None and len(one.before) <= 6


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(sequences())
def test_whatever_came_before_advice_lies_within_its_bounds(made: list[Recommendation]) -> None:
    for one in made:
        if one.state == "ok":
            assert one.min <= one.replicas <= one.max
        else:
            assert (one.replicas is None) == (one.current is None)
            # What was advised last and still starts is kept.
            assert one.current is None or one.replicas >= min(one.current, one.max)


def test_a_decision_that_was_not_made_so_is_found_out() -> None:
    told = recommend(
        "m",
        START,
        AutoscaleSpec(max=20),
        arrivals_rps_last_minute=42.0,
        forecast=None,
        capacity=ReplicaCapacity(10.0),
        current=3,
        recent=[],
    )
    assert departures(told, replay(told)) == ()
    for changed in ({"replicas": 9}, {"arrivals_rps": 99.0}, {"capacity": ReplicaCapacity(5.0)}, {"max": 4}):
        wrong = replace(told, **changed)
        assert departures(wrong, replay(wrong)) != ()


def test_advice_stored_before_rules_were_kept_is_read_and_not_made_again() -> None:
    document = to_document(
        recommend(
            "m",
            START,
            AutoscaleSpec(),
            arrivals_rps_last_minute=1.0,
            forecast=None,
            capacity=None,
            current=1,
            recent=[],
        )
    )
    for name in ("rules", "capacity", "warm_floor", "before"):
        del document[name]
    old = msgspec.convert(document, Recommendation)
    assert old.rules is None and replay(old) is None
    assert replay(msgspec.convert({**document, "rules": {}}, Recommendation)) is None  # of one that kept no `before`
