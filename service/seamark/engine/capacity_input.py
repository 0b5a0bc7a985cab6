"""Capacity tests and what production carried -> what one replica is taken to carry, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from seamark.core.advice import AdviceInput, ReplicaCapacity
from seamark.core.errors import NotFound
from seamark.core.findings import Capacity
from seamark.core.specs import ModelSpec
from seamark.core.windows import Window
from seamark.engine.model_history import known_production
from seamark.engine.services import Services
from seamark.store import traffic

FRESH = timedelta(days=30)
FLOOR = "a floor that was carried, no limit that was found: it may ask for too many replicas"


def read_capacity(
    services: Services, spec: ModelSpec, at: datetime, serving: str | None
) -> tuple[ReplicaCapacity | None, AdviceInput]:
    """Return (capacity, input): by the last capacity test, else by production, else (None, `unknown`).

    `serving` is the version that answers now. A capacity that is old, or another version's, is `stale`: advice goes by
    it all the same, since no better one is known, and says so.
    """
    told = AdviceInput("capacity", None, "unknown", source="load_test", unit="requests/s")
    found = services.catalog.findings.latest(spec.name, "capacity", Capacity)
    seen = known_production(services, spec.name, at)
    if found is not None:
        tested = found.finding
        capacity = ReplicaCapacity(tested.safe_rps, "load_test", tested.rps, tested.high, found.at)
        doubts = _doubts(capacity, _tested_version(services, spec.name, found.run_id, at), serving, at)
        notes = doubts
    elif seen is not None:
        capacity = seen.capacity
        doubts = _doubts(capacity, seen.version, serving, at)
        notes = [*doubts, FLOOR]
    else:
        needs = "three hours of traffic that keeps the slo" if spec.slo else "an slo, and three hours of traffic in it"
        note = f"no load test of shape `capacity` has run; to see what production carries takes {needs}"
        return None, replace(told, note=note)
    return capacity, replace(
        told,
        state="stale" if doubts else "fresh",
        value=capacity.safe_rps,
        at=capacity.at,
        source=capacity.source,
        low=capacity.safe_rps,
        high=capacity.high_rps,
        note="; ".join(notes) or None,
    )


def _doubts(capacity: ReplicaCapacity, version: str | None, serving: str | None, at: datetime) -> list[str]:
    doubts = []
    if capacity.at is not None and at - capacity.at > FRESH:
        doubts.append(f"measured {(at - capacity.at).days} days ago")
    if version and serving and version != serving:
        doubts.append(f"measured on version {version[:50]}, and {serving[:50]} serves now")
    return doubts


def _tested_version(services: Services, model: str, run_id: str | None, at: datetime) -> str | None:
    """Return the version that answered a run, by the spans of its time; None where those are gone or name none."""
    if run_id is None:
        return None

    def read() -> str | None:
        try:
            run = services.catalog.runs.get(run_id)
        except NotFound:
            return None
        if run.started_at is None or run.ended_at is None or run.ended_at <= run.started_at:
            return None
        return traffic.tested_version(services.lake, model, Window(run.started_at, run.ended_at))

    return services.remembered.tested.get((model, run_id), at, read)
