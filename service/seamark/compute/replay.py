"""Stored recommendations -> each made again from what it tells of its own inputs and of those before it.

Advice reads nothing but what is stored with it: load, forecast, capacity, count, metrics, rules, warm floor, and the
advice of the minutes before. So a past decision can be made again, by anybody, and must come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from seamark.compute.autoscale import SCALE_IN_HOLD_S, recommend
from seamark.core.advice import AdviceRules, Recommendation
from seamark.core.specs import AutoscaleSpec, MetricInput


def replay(stored: Recommendation, before: Sequence[Recommendation]) -> Recommendation | None:
    """Make a stored decision again; `before` is the stored advice of the same model before it, in any order.

    None where it was stored before its rules were kept, or by a version that did not keep them.
    """
    if stored.rules is None:
        return None
    recent = [one for one in before if 0 < (stored.at - one.at).total_seconds() <= SCALE_IN_HOLD_S]
    again = recommend(
        stored.model,
        stored.at,
        _spec(stored.rules, stored.min, stored.max),
        arrivals_rps_last_minute=stored.arrivals_rps,
        forecast=stored.forecast,
        capacity=stored.capacity,
        current=stored.current,
        recent=recent,
        inputs=stored.inputs,
        warm_floor=stored.warm_floor,
    )
    return replace(again, gate=stored.gate)  # of the backtest: the decision does not read it


def departures(stored: Recommendation, again: Recommendation) -> tuple[str, ...]:
    """Return the names of the fields in which a decision made again differs; none: it is the same."""
    return tuple(one.name for one in fields(Recommendation) if getattr(stored, one.name) != getattr(again, one.name))


def _spec(rules: AdviceRules, least: int, most: int) -> AutoscaleSpec:
    limit = rules.utilisation_limit
    return AutoscaleSpec(
        min=least,
        max=most,
        cost_per_replica_hour=rules.cost_per_replica_hour,
        utilisation=None if limit is None else MetricInput("", limit=limit),
        scale_out_most=rules.scale_out_most,
        scale_in_most=rules.scale_in_most,
        warm=rules.warm,
        warm_auto=rules.warm_auto,
    )
