"""The metrics that a model's advice is to read -> their present values, fresh or not."""

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


def read_inputs(services: Services, spec: ModelSpec, at: datetime) -> tuple[AdviceInput, ...]:
    """Return the inputs that seamark.yaml names for this model, in a fixed order."""
    autoscale = spec.autoscale or AutoscaleSpec()
    named = {
        "replicas": autoscale.replicas,
        "queue_length": autoscale.queue_length,
        "utilisation": autoscale.utilisation,
    }
    return tuple(_read(services, spec.name, name, wanted, at) for name, wanted in named.items() if wanted)


def _read(services: Services, model: str, name: str, wanted: MetricInput, at: datetime) -> AdviceInput:
    ahead = at + timedelta(seconds=AHEAD_S)

    def newest(since_s: float) -> list[MetricValue]:
        window = Window(at - timedelta(seconds=since_s), ahead)
        return points.latest(services.lake, model, wanted.metric, window, wanted.where)

    found = newest(FRESH_S)
    fresh = [one.value for one in found if one.value is not None and one.value >= 0]
    if fresh:
        return AdviceInput(name, wanted.metric, "fresh", _JOINED[name](fresh), max(one.at for one in found))
    heard = found or newest(HEARD_S)
    if not heard:
        return AdviceInput(name, wanted.metric, "unknown")
    return AdviceInput(name, wanted.metric, "unknown" if found else "stale", at=max(one.at for one in heard))
