"""A stored recommendation -> the same decision made again, from what it tells of itself.

Advice reads nothing but what is stored with it: load, forecast, capacity, count, metrics, rules, warm floor, and of the
advice of the minutes before what it went by. So a past decision can be made again, by anybody, as long as it is kept,
and must come out the same.
"""

from __future__ import annotations

from dataclasses import fields, replace

from seamark.compute.autoscale import recommend
from seamark.core.advice import AdviceRules, Recommendation
from seamark.core.specs import AutoscaleSpec, MetricInput


def replay(stored: Recommendation) -> Recommendation | None:
    """Make a stored decision again; None where it was stored before its rules and what came before were kept."""
    if stored.rules is None or stored.before is None:
        return None
    again = recommend(
        stored.model,
        stored.at,
        _spec(stored.rules, stored.min, stored.max),
        arrivals_rps_last_minute=stored.arrivals_rps,
        forecast=stored.forecast,
        capacity=stored.capacity,
        current=stored.current,
        recent=stored.before,
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
