"""A fleet's rules and the floor that its traffic asks for -> the fleet and the courses of the advice that is in force.

The warm floor is looked for on a run without one: what a floor carries is no burst any more, and would take the floor
away a day later. But what is judged is the advice with it.
"""

from __future__ import annotations

from dataclasses import replace

from seamark.compute.backtest.judge import SEAMARK, Courses, play_all
from seamark.compute.backtest.policies import POLICIES
from seamark.core.advice import WarmFloor
from seamark.core.backtest import Fleet, Trace
from seamark.core.specs import StepLimit


def without_floor(fleet: Fleet) -> Fleet:
    """Return the fleet with its step limits alone."""
    return fleet if fleet.rules is None else replace(fleet, rules=replace(fleet.rules, warm=None))


def with_floor(fleet: Fleet, found: WarmFloor) -> Fleet:
    """Return the fleet to be judged: where the floor is `auto`, with the one just found, in force from now on."""
    if fleet.rules is None or not fleet.rules.warm_auto:
        return fleet
    return replace(fleet, rules=replace(fleet.rules, warm=found.replicas))


def courses_with_floor(trace: Trace, fleet: Fleet, without: Courses) -> Courses:
    """Return the courses of a run without a floor, with Seamark's played anew where there is one."""
    if fleet.rules is None or not fleet.rules.warm:
        return without
    own = play_all(trace, fleet, policies={SEAMARK: POLICIES[SEAMARK]})
    return replace(without, by_policy={**without.by_policy, **own.by_policy})


def told(fleet: Fleet) -> tuple[str, ...]:
    """Return the sentence that says by which rules the advice was played; () where it has none."""
    if fleet.rules is None:
        return ()
    parts = [f"{fleet.rules.warm} kept warm"] if fleet.rules.warm else []
    limits = (("out", fleet.rules.scale_out_most), ("in", fleet.rules.scale_in_most))
    parts += [f"{way} by {_step(limit)} a minute at most" for way, limit in limits if limit is not None]
    return (f"Seamark's advice is played by the model's own rules: {', '.join(parts)}.",) if parts else ()


def _step(limit: StepLimit) -> str:
    return f"{limit.share:.0%}" if limit.replicas is None else f"{limit.replicas}"
