"""The advice that is judged is the one in force: step limits and warm floor are played, for Seamark's policy alone."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from seamark.compute.backtest.in_force import courses_with_floor, told, with_floor, without_floor
from seamark.compute.backtest.judge import Courses, play_all
from seamark.compute.backtest.policies import POLICIES
from seamark.core.advice import AdviceRules, WarmFloor
from seamark.core.backtest import Fleet, Trace
from seamark.core.specs import StepLimit

BURSTS = np.tile(np.concatenate([np.full(120, 20.0), np.full(20, 200.0)]), 4)
TRACE = Trace(15.0, BURSTS)
FLEET = Fleet(capacity_rps=10.0, max=100)
BOTH = {name: POLICIES[name] for name in ("seamark", "hpa")}
FOUND = WarmFloor("ok", 1.0, replicas=12)


def ruled(**rules: object) -> Fleet:
    return replace(FLEET, rules=AdviceRules(**rules))  # type: ignore[arg-type]


def over(courses: Courses, name: str) -> int:
    return int((courses.by_policy[name].wait_s > FLEET.slo_wait_s).sum())


@pytest.mark.slow
def test_a_step_limit_costs_what_it_breaks_and_only_the_advice_has_it() -> None:
    plain = play_all(TRACE, FLEET, policies=BOTH)
    slow = play_all(TRACE, ruled(scale_out_most=StepLimit(replicas=1)), policies=BOTH)
    assert over(slow, "seamark") > 1.5 * over(plain, "seamark")
    ready = slow.by_policy["seamark"].paid
    assert (ready[4:] - ready[:-4]).max() <= 1  # a minute apart
    assert np.array_equal(slow.by_policy["hpa"].paid, plain.by_policy["hpa"].paid)
    late = play_all(TRACE, ruled(scale_in_most=StepLimit(share=0.1)), policies=BOTH)
    assert late.by_policy["seamark"].paid.sum() > plain.by_policy["seamark"].paid.sum()


@pytest.mark.slow
def test_the_floor_is_found_without_it_and_judged_with_it() -> None:
    fleet = ruled(warm=8, scale_out_most=StepLimit(replicas=5))
    bare = without_floor(fleet)
    assert bare.rules == AdviceRules(scale_out_most=StepLimit(replicas=5)) and without_floor(FLEET) is FLEET
    without = play_all(TRACE, bare, policies=BOTH)
    judged = courses_with_floor(TRACE, with_floor(fleet, FOUND), without)
    assert without.by_policy["seamark"].paid.min() < 8 <= judged.by_policy["seamark"].paid[2:].min()
    assert over(judged, "seamark") < over(without, "seamark")
    assert judged.by_policy["hpa"] is without.by_policy["hpa"]
    assert list(judged.by_policy) == list(without.by_policy)


@pytest.mark.parametrize(
    "fleet, warm",
    [
        (ruled(warm_auto=True), 12),
        (ruled(warm=3), 3),
        (ruled(), None),
    ],
)
def test_auto_is_the_floor_just_found(fleet: Fleet, warm: int | None) -> None:
    found = with_floor(fleet, FOUND)
    assert found.rules is not None and found.rules.warm == warm
    assert with_floor(FLEET, FOUND) is FLEET


@pytest.mark.slow
def test_no_floor_worth_its_price_plays_nothing_anew() -> None:
    without = play_all(TRACE, FLEET, policies=BOTH)
    fleet = with_floor(ruled(warm_auto=True, warm=4), WarmFloor("not_needed", 1.0))
    assert courses_with_floor(TRACE, fleet, without) is without


def test_the_rules_are_told() -> None:
    assert told(FLEET) == told(ruled()) == told(ruled(warm_auto=True)) == ()
    rules = ruled(warm=6, scale_out_most=StepLimit(share=0.5), scale_in_most=StepLimit(replicas=2))
    [sentence] = told(rules)
    assert sentence.startswith("Seamark's advice is played by the model's own rules: 6 kept warm, ")
    assert sentence.endswith(", out by 50% a minute at most, in by 2 a minute at most.")


def test_what_was_kept_before_there_were_rules_is_read() -> None:
    assert msgspec.json.decode(b'{"capacity_rps": 10.0, "max": 100}', type=Fleet) == FLEET
