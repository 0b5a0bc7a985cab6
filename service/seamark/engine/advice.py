"""A configured model at an instant -> its replica recommendation: read what it goes by, decide, keep, tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from seamark.compute import autoscale
from seamark.core.specs import ModelSpec
from seamark.engine import advice_store
from seamark.engine.advice_gate import own_history_says
from seamark.engine.advice_inputs import gather
from seamark.engine.advice_notices import tell_change
from seamark.engine.alerts import Condition
from seamark.engine.live_arrivals import foresee
from seamark.engine.services import Services

ADVISED_EVERY_S = 10.0


def advise(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Make the replica recommendation of now and keep it; no alert goes by it yet."""
    assert spec.autoscale is not None
    inputs = gather(services, spec, at)
    recent = advice_store.recent(services, spec.name, at)
    gate, floor = own_history_says(services, spec.name, at)
    recommendation = autoscale.recommend(
        spec.name,
        at,
        spec.autoscale,
        arrivals_rps_last_minute=inputs.arrivals.rate_rps,
        forecast=foresee(inputs.arrivals, at, inputs.cold_start_s + autoscale.DECISION_LAG_S, inputs.history),
        capacity=inputs.capacity,
        current=inputs.replicas,
        recent=recent,
        inputs=inputs.told,
        warm_floor=floor,
    )
    recommendation = replace(recommendation, gate=gate)
    advice_store.keep(services, recommendation)
    tell_change(services, spec, recent[0] if recent else None, recommendation)
    return []
