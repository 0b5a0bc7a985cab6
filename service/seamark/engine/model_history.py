"""Spans of each advised model, as ten minutes end -> the load its replicas carried, and how long their starts took."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from seamark.compute.carried import carried_rps, production_capacity
from seamark.compute.cold_start import ADVISED_BACK, learned
from seamark.core.advice import Recommendation, ReplicaCapacity
from seamark.core.day_rates import STEP_S, day_of, nothing, step_of
from seamark.core.specs import ModelSpec
from seamark.core.traffic import FloatArray, SeenInstances
from seamark.core.windows import Window
from seamark.engine.arrival_history import DAY
from seamark.engine.input_memory import Production
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import traffic

CARRIED_DAYS = 7
SETTLED_S = 120.0  # after a step's end most of its spans have come
BIRTHS_LATE_S = 300.0  # each look goes back so much further than the last one reached
BIRTHS_MOST_S = 3600.0  # after a pause no more than this is made up for
ADVICE_MOST = 200
TURN_S = 8.0  # of one tick; who has not had a turn has it in the next
KIND = "instances"
KIND_CARRIED = "production"

Kept = TypeVar("Kept")


class ModelRoll:
    """Takes each model with `autoscale` once every ten minutes, as many in a tick as there is time for."""

    def __init__(self) -> None:
        self._done: dict[str, datetime] = {}
        self._capacities: dict[str, Production] = {}
        self._instances: dict[str, SeenInstances] = {}

    def tick(self, services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> None:
        """Look at the models whose step is over. One that fails keeps the others from nothing, and is tried again."""
        due = slot(at - timedelta(seconds=SETTLED_S), STEP_S)
        specs = [spec for spec in services.configuration.current().models if spec.autoscale is not None]
        until_s = services.clock.monotonic_s() + TURN_S
        failure: Exception | None = None
        for spec in specs:
            if self._done.get(spec.name) == due:
                continue
            if stopping() or services.clock.monotonic_s() >= until_s:
                break
            try:
                self._look(services, spec, due)
                self._done[spec.name] = due
            except Exception as error:  # noqa: BLE001 - the others go on; it is raised below
                failure = error
        names = {spec.name for spec in specs}
        for kept in (self._done, self._capacities, self._instances):
            for name in kept.keys() - names:
                kept.pop(name)
        services.remembered.production = dict(self._capacities)
        services.remembered.instances = dict(self._instances)
        if failure is not None:
            raise failure

    def _look(self, services: Services, spec: ModelSpec, end: datetime) -> None:
        carry(services, spec, end)
        found = production(services, spec.name, end)
        if found is None:
            self._capacities.pop(spec.name, None)
        else:
            self._capacities[spec.name] = found
        self._instances[spec.name] = meet(services, spec.name, end)


def known_production(services: Services, model: str, at: datetime) -> Production | None:
    """Return what a model's replicas carry: by the roll of this node, else as the leading one stored it."""
    memory = services.remembered
    found = memory.production.get(model)
    return found or memory.stored_production.get(model, at, lambda: _stored(services, model, KIND_CARRIED, Production))


def known_instances(services: Services, model: str, at: datetime) -> SeenInstances | None:
    """Return the instances that are known of a model: by the roll of this node, else as the leading one stored them."""
    memory = services.remembered
    found = memory.instances.get(model)
    return found or memory.stored_instances.get(model, at, lambda: _stored(services, model, KIND, SeenInstances))


def _stored(services: Services, model: str, kind: str, type_: type[Kept]) -> Kept | None:
    found = services.catalog.findings.latest(model, kind, type_)
    return found.finding if found is not None else None


def carry(services: Services, spec: ModelSpec, end: datetime) -> None:
    """Keep what one replica carried within the objectives in the step that ended at `end`."""
    if spec.slo is None:
        return
    slow_ms = spec.slo.latency.limit if spec.slo.latency else None
    window = Window.trailing(end, STEP_S)
    minutes, instances = traffic.minutes(services.lake, spec.name, window, slow_ms)
    found = carried_rps(minutes, instances, spec.slo)
    if found is None:
        return
    most = max(minutes, key=lambda one: one.requests)
    rates = nothing()
    rates[step_of(window.start)] = found
    services.catalog.carried.merge(day_of(window.start), {(spec.name, most.version): rates})


def production(services: Services, model: str, at: datetime) -> Production | None:
    """Return what the version that served last is known to carry, else another that served enough.

    For one version it only rises: advice by a floor lowers the load of each replica, and with it what is seen of it.
    """
    kept = services.catalog.findings.latest(model, KIND_CARRIED, Production)
    before = kept.finding if kept is not None else None
    found = _carried(services, model, at)
    if before is not None and (
        found is None or (before.version == found.version and before.capacity.safe_rps >= found.capacity.safe_rps)
    ):
        found = before
    if found is not None and (kept is None or found != before or at - kept.at >= DAY):
        services.catalog.findings.put(model, KIND_CARRIED, at, found, replace=True)
    return found


def _carried(services: Services, model: str, at: datetime) -> Production | None:
    stored = services.catalog.carried.read(day_of(at) - CARRIED_DAYS * DAY, day_of(at), [model])
    newest = sorted(stored.items(), key=lambda item: _last(item[1]), reverse=True)
    for (_, version), days in newest:
        capacity: ReplicaCapacity | None = production_capacity(list(days.values()), _last(days))
        if capacity is not None:
            return Production(capacity, version)
    return None


def meet(services: Services, model: str, end: datetime) -> SeenInstances:
    """Take in the instances heard of since the last look, and keep what is known of all of them."""
    found = services.catalog.findings.latest(model, KIND, SeenInstances)
    before = found.finding if found is not None else SeenInstances(end - timedelta(seconds=STEP_S), end)
    if found is not None and not timedelta(0) <= end - before.until <= timedelta(days=1):
        # Nobody listened, or a clock jumped: who was born in between is not known.
        before = SeenInstances(end - timedelta(seconds=STEP_S), end, before.seen, before.deployment, before.namespace)
    late = timedelta(seconds=BIRTHS_LATE_S + STEP_S)
    start = max(min(before.until, end) - late, end - timedelta(seconds=BIRTHS_MOST_S))
    births = traffic.births(services.lake, model, Window(start, end))
    if births is None:  # more than can be told apart: no starts are measured
        services.telemetry.count_advice_cut("instances", 1)
        return before
    advice = []
    if {birth.name for birth in births} - {one.name for one in before.seen}:
        since = start - ADVISED_BACK
        kept = services.catalog.findings.thinned(
            model, "recommendation", Recommendation, Window(since, end), ADVICE_MOST
        )
        advice = [one.finding for one in kept[0]]
    after = learned(before, births, end, advice)
    services.catalog.findings.put(model, KIND, end, after, replace=True)
    return after


def _last(days: dict[datetime, FloatArray]) -> datetime:
    """Return when the last known step of these days ended."""
    ends = [
        day + timedelta(seconds=(int(places[-1]) + 1) * STEP_S)
        for day, rates in days.items()
        if len(places := np.isfinite(rates).nonzero()[0])
    ]
    return max(ends, default=min(days))
