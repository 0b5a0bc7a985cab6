"""A configured model at an instant -> its replica recommendation: read what it goes by, decide, keep, tell."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.compute import autoscale, forecast
from seamark.core.advice import Forecast, Recommendation, ReplicaCapacity, WarmFloor
from seamark.core.findings import Capacity
from seamark.core.specs import ModelSpec
from seamark.core.windows import Window
from seamark.engine.advice_notices import tell_change
from seamark.engine.alerts import Condition
from seamark.engine.inputs import read_inputs
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import spans

ADVISED_EVERY_S = 10.0
ARRIVAL_STEP_S = 10.0
ARRIVAL_HISTORY_S = 7200.0  # rare misses are what the margin is made of: an hour has too few of them
COLD_START_DEFAULT_S = 60.0
LIVE_S = 120.0


def advise(services: Services, spec: ModelSpec, at: datetime) -> list[Condition]:
    """Make the replica recommendation of now and keep it; no alert goes by it yet."""
    assert spec.autoscale is not None
    cold_start_s = spec.autoscale.cold_start_s
    horizon_s = (COLD_START_DEFAULT_S if cold_start_s is None else cold_start_s) + autoscale.DECISION_LAG_S
    live_rps, coming = traffic(services, spec.name, at, horizon_s)
    since = at - timedelta(seconds=autoscale.SCALE_IN_HOLD_S)
    recent = services.catalog.findings.history(spec.name, "recommendation", Recommendation, since=since)
    floor = services.catalog.findings.latest(spec.name, "warm_floor", WarmFloor)
    recommendation = autoscale.recommend(
        spec.name,
        at,
        spec.autoscale,
        arrivals_rps_last_minute=live_rps,
        forecast=coming,
        capacity=replica_capacity(services, spec.name),
        current=spans.instances(services.lake, spec.name, Window.trailing(at, 60.0)),
        recent=[found.finding for found in recent],
        inputs=read_inputs(services, spec, at),
        warm_floor=floor.finding if floor else None,
    )
    services.catalog.findings.put(spec.name, "recommendation", at, recommendation)
    tell_change(services, spec, recent[0].finding if recent else None, recommendation)
    return []


def traffic(services: Services, model: str, at: datetime, horizon_s: float) -> tuple[float | None, Forecast]:
    """Return (arrivals per second over the last minute, forecast at the horizon); silence is None, not 0."""
    end = slot(at, ARRIVAL_STEP_S)
    steps = spans.arrivals(services.lake, model, Window.trailing(end, ARRIVAL_HISTORY_S), ARRIVAL_STEP_S)
    heard = steps.nonzero()[0]
    if len(heard) == 0:
        return None, Forecast(at, horizon_s, "stale", "none")
    since_first = steps[heard[0] :]
    if (len(steps) - heard[-1]) * ARRIVAL_STEP_S > LIVE_S:
        return None, Forecast(at, horizon_s, "stale", "none")
    last_minute = since_first[-6:]
    if not last_minute.any():
        return None, Forecast(at, horizon_s, "stale", "none")  # a minute's silence may be an outage of telemetry
    return float(last_minute.mean()), forecast.forecast(since_first, ARRIVAL_STEP_S, horizon_s, at)


def replica_capacity(services: Services, model: str) -> ReplicaCapacity | None:
    """What the last capacity test said that one replica carries; None where there was none."""
    found = services.catalog.findings.latest(model, "capacity", Capacity)
    if found is None:
        return None
    tested = found.finding
    return ReplicaCapacity(tested.safe_rps, "load_test", tested.rps, tested.high, found.at)
