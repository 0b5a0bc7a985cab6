"""Metrics that a model's advice is to read -> their present values, fresh or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from seamark.core.advice import AdviceInput
from seamark.core.measures import MetricValue
from seamark.core.specs import AutoscaleSpec, MetricInput, ModelSpec
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import points

FRESH_S = 180.0  # three times the minute at which SDKs send
HEARD_S = 3600.0
AHEAD_S = 60.0  # a sender's clock may be so much fast


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# How the newest values of all series make one: replicas are told by several observers, each queue adds to the backlog.
_JOINED: dict[str, Callable[[Sequence[float]], float]] = {"replicas": max, "queue_length": sum, "utilisation": _mean}
_UNITS = {"replicas": "replicas", "queue_length": "requests"}


def read_named(services: Services, spec: ModelSpec, at: datetime) -> tuple[AdviceInput, ...]:
    """Return the queue and the utilisation that seamark.yaml names for this model, in this order."""
    autoscale = spec.autoscale or AutoscaleSpec()
    named = {"queue_length": autoscale.queue_length, "utilisation": autoscale.utilisation}
    return tuple(read_metric(services, spec.name, name, wanted, at) for name, wanted in named.items() if wanted)


def read_metric(services: Services, model: str, name: str, wanted: MetricInput, at: datetime) -> AdviceInput:
    """Return what a metric says now: `fresh`, `stale` where it was heard of within the hour, else `unknown`."""
    ahead = at + timedelta(seconds=AHEAD_S)
    unit = _UNITS.get(name, "")

    def newest(since_s: float) -> list[MetricValue]:
        window = Window(at - timedelta(seconds=since_s), ahead)
        return points.latest(services.lake, model, wanted.metric, window, wanted.where)

    found = newest(FRESH_S)
    fresh = [one.value for one in found if one.value is not None and one.value >= 0]
    if fresh:
        newest_at = max(one.at for one in found)
        return AdviceInput(name, wanted.metric, "fresh", _JOINED[name](fresh), newest_at, unit=unit)
    heard = found or newest(HEARD_S)
    if not heard:
        return AdviceInput(name, wanted.metric, "unknown", unit=unit)
    state = "unknown" if found else "stale"
    return AdviceInput(name, wanted.metric, state, at=max(one.at for one in heard), unit=unit)
