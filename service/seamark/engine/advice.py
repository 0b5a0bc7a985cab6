"""Configured models at an instant -> their replica recommendations: read what they go by, decide, keep, tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from seamark.compute import autoscale
from seamark.core.specs import ModelSpec
from seamark.engine import advice_store
from seamark.engine.advice_gate import own_history_says
from seamark.engine.advice_inputs import gather
from seamark.engine.advice_notices import tell_change
from seamark.engine.live_arrivals import foresee
from seamark.engine.services import Services

ADVISED_EVERY_S = 10.0


def advise_all(services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> None:
    """Advise every model with `autoscale`. One that fails does not keep the others from their turn.

    A job of its own: what else is due at a tick may read windows of a million rows, and a fleet does not wait for that.
    """
    failure: Exception | None = None
    specs = [spec for spec in services.configuration.current().models if spec.autoscale is not None]
    services.remembered.asked.note([spec.name for spec in specs], at)
    for spec in specs:
        if stopping():
            break
        try:
            advise(services, spec, at)
        except Exception as error:  # noqa: BLE001 - the others go on; it is raised below
            failure = failure or error
    if failure is not None:
        raise failure


def advise(services: Services, spec: ModelSpec, at: datetime) -> None:
    """Make the replica recommendation of now, keep it, and tell who is to hear of a change."""
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
