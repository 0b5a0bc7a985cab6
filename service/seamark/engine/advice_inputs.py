"""A model at an instant -> all that its advice goes by, each with where it is from, how old it is, what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np

from seamark.compute.cold_start import STARTS_MIN, cold_start
from seamark.core.advice import AdviceInput, ArrivalHistory, ReplicaCapacity
from seamark.core.specs import ModelSpec
from seamark.core.traffic import RecentRequests
from seamark.core.windows import Window
from seamark.engine.arrival_history import history_of
from seamark.engine.capacity_input import read_capacity
from seamark.engine.inputs import read_named
from seamark.engine.live_arrivals import Arrivals, read_arrivals
from seamark.engine.model_history import known_instances
from seamark.engine.replicas import ACTIVE_REQUESTS, levels, read_replicas
from seamark.engine.services import Services
from seamark.store import traffic

COLD_START_DEFAULT_S = 60.0
COLD_START_LEAST_S = 1.0
INSTANCES_S = 60.0
DAY_S = 86_400.0
ESTIMATED = (
    "an estimate: arrivals x mean service time; servers that send http.server.active_requests are believed instead"
)
NONE_CAME = RecentRequests(0, None, None, None)
IN_SERVER = "time in the server, with what it waits there"


@dataclass(frozen=True)
class AdviceInputs:
    """What one advice goes by. `told` is all of it as it is shown and kept."""

    arrivals: Arrivals
    history: ArrivalHistory | None
    capacity: ReplicaCapacity | None
    replicas: int | None  # counted from spans
    cold_start_s: float
    told: tuple[AdviceInput, ...]


def gather(services: Services, spec: ModelSpec, at: datetime) -> AdviceInputs:
    """Return every input of a model's advice at an instant."""
    arrivals = read_arrivals(services, spec.name, at)
    memory, lake = services.remembered, services.lake
    lately = partial(memory.asked.lately, at)
    recent = memory.recent.get(spec.name, at, lately, partial(traffic.recent, lake, at=at)) or NONE_CAME
    minute = Window.trailing(at, INSTANCES_S)
    instances = memory.running.get(spec.name, at, lately, partial(traffic.instances, lake, window=minute))
    capacity, capacity_told = read_capacity(services, spec, at, recent.version)
    cold_start_told = read_cold_start(services, spec, at)
    history = history_of(services, spec.name, at)
    told = (
        arrivals.told,
        read_in_flight(services, spec.name, at, arrivals, recent),
        *_service_time(recent, at),
        capacity_told,
        read_replicas(services, spec, at, instances),
        cold_start_told,
        _history(history),
        *read_named(services, spec, at),
    )
    seconds = cold_start_told.value if cold_start_told.value is not None else COLD_START_DEFAULT_S
    return AdviceInputs(arrivals, history, capacity, instances, seconds, told)


def read_in_flight(
    services: Services, model: str, at: datetime, arrivals: Arrivals, recent: RecentRequests
) -> AdviceInput:
    """Return the requests that are being served: as servers say, else by Little's law (arrivals x mean time)."""
    sent = [one for one in levels(services, at) if one.model == model and one.name == ACTIVE_REQUESTS]
    counted = [one.value for one in sent if one.value is not None and one.value >= 0]
    if counted:
        newest = max(one.at for one in sent)
        return AdviceInput("in_flight", ACTIVE_REQUESTS, "fresh", sum(counted), newest, unit="requests")
    if arrivals.rate_rps is None or recent.mean_s is None:
        return AdviceInput("in_flight", None, "unknown", source="spans", unit="requests")
    return AdviceInput(
        "in_flight",
        None,
        "fresh",
        arrivals.rate_rps * recent.mean_s,
        arrivals.told.at,
        "spans",
        "requests",
        note=ESTIMATED,
    )


def read_cold_start(services: Services, spec: ModelSpec, at: datetime) -> AdviceInput:
    """Return how long a new replica takes until it serves: as written, else measured, else a default that is named."""
    given = spec.autoscale.cold_start_s if spec.autoscale is not None else None
    if given is not None:
        return AdviceInput("cold_start", None, "fresh", given, source="seamark.yaml", unit="s")
    known = known_instances(services, spec.name, at)
    found = cold_start(known) if known is not None else None
    if found is None:
        seen = sum(one.seconds is not None for one in known.seen) if known is not None else 0
        note = f"not measured yet: {seen} of {STARTS_MIN} starts were seen; {COLD_START_DEFAULT_S:.0f} s is assumed"
        return AdviceInput("cold_start", None, "fresh", COLD_START_DEFAULT_S, source="default", unit="s", note=note)
    note = (
        f"nine of ten of {found.count} starts took no longer, half of them {found.median_s:.0f} s;"
        f" from {' or '.join(found.sources)} to the first request"
    )
    value = max(found.p90_s, COLD_START_LEAST_S)
    return AdviceInput(
        "cold_start", None, "fresh", value, found.last_at, "spans", "s", found.median_s, found.p90_s, note
    )


def _service_time(recent: RecentRequests, at: datetime) -> tuple[AdviceInput, AdviceInput]:
    state = "fresh" if recent.mean_s is not None else "unknown"
    came_at = at if recent.requests else None
    return (
        AdviceInput("service_time", None, state, recent.mean_s, came_at, "spans", "s", note=IN_SERVER),
        AdviceInput("service_time_cv", None, "unknown" if recent.cv is None else "fresh", recent.cv, came_at, "spans"),
    )


def _history(history: ArrivalHistory | None) -> AdviceInput:
    """Tell how far back arrivals are known, and how much of it."""
    if history is None:
        note = "counted every ten minutes; a day of it shows the day's shape, two weeks the week's"
        return AdviceInput("history", None, "unknown", source="spans", unit="days", note=note)
    known = float(np.isfinite(history.rates).mean())
    days = len(history.rates) * history.step_s / DAY_S
    gaps = f"{known:.0%} of it is known" if known < 1 else None
    return AdviceInput("history", None, "fresh", days, history.end, "spans", "days", note=gaps)
