"""Advice reads the metrics seamark.yaml names: while they are fresh, of the senders it selects."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.advice import AdviceInput, Recommendation
from seamark.core.findings import Capacity
from seamark.core.specs import AutoscaleSpec, MetricInput, ModelSpec
from seamark.engine.advice import advise
from seamark.engine.inputs import FRESH_S, HEARD_S, read_named
from seamark.engine.replicas import read_replicas
from seamark.engine.services import Services

AVAILABLE = MetricInput("k8s.deployment.available", (("k8s.deployment.name", "churn"),))
SPEC = ModelSpec(
    "churn",
    autoscale=AutoscaleSpec(
        max=20, replicas=AVAILABLE, queue_length=MetricInput("queue"), utilisation=MetricInput("gpu", limit=0.8)
    ),
)


def put(services: Services, name: str, value: float | None, ago_s: float = 10.0, **fields: Any) -> None:
    row = {"name": name, "value": value, "at": AT - timedelta(seconds=ago_s), "attributes": None, **fields}
    services.lake.append({"metric_points": rows_of("metric_points", [row])})


def available(services: Services, value: float | None, ago_s: float = 10.0, **fields: Any) -> None:
    resource = '{"k8s.deployment.name":"churn"}'
    put(services, AVAILABLE.metric, value, ago_s, model="collector", resource=resource, **fields)


def read_inputs(services: Services, spec: ModelSpec) -> tuple[AdviceInput, ...]:
    return (read_replicas(services, spec, AT, None), *read_named(services, spec, AT))


def states(services: Services) -> dict[str, tuple[str, float | None]]:
    return {one.name: (one.state, one.value) for one in read_inputs(services, SPEC)}


def test_fresh_values_are_joined_over_series_as_their_meaning_asks(services: Services) -> None:
    for observer, count in (("one", 3.0), ("two", 4.0)):
        available(services, count, service=observer)
    for instance, waiting, used in (("pod-1", 5.0, 0.5), ("pod-2", 7.0, 1.0)):
        put(services, "queue", waiting, instance=instance)
        put(services, "gpu", used, instance=instance)
    put(services, "queue", 100.0, model="other")
    found = {"replicas": ("fresh", 4.0), "queue_length": ("fresh", 12.0), "utilisation": ("fresh", 0.75)}
    assert states(services) == found


def test_an_input_nobody_sent_is_unknown_and_an_old_one_stale(services: Services) -> None:
    available(services, 3.0, FRESH_S + 1)
    put(services, "queue", 5.0, HEARD_S + 1)
    put(services, "gpu", -0.5)
    assert states(services) == {
        "replicas": ("stale", None),
        "queue_length": ("unknown", None),
        "utilisation": ("unknown", None),
    }
    (stale, *_) = read_inputs(services, SPEC)
    assert stale.at == AT - timedelta(seconds=FRESH_S + 1)


def test_a_series_that_ended_or_fell_silent_is_left_out(services: Services) -> None:
    put(services, "queue", 5.0)
    put(services, "queue", 9.0, 60.0, instance="ended")
    put(services, "queue", None, 5.0, instance="ended")
    put(services, "queue", 100.0, FRESH_S + 1, instance="silent")
    assert states(services)["queue_length"] == ("fresh", 5.0)


def test_what_is_not_asked_for_is_not_read(services: Services) -> None:
    available(services, 3.0)
    (replicas,) = read_inputs(services, replace(SPEC, autoscale=AutoscaleSpec(replicas=5)))
    assert (replicas.source, replicas.value) == ("seamark.yaml", 5.0)


def kept(services: Services) -> Recommendation:
    advise(services, SPEC, AT)
    found = services.catalog.findings.latest("churn", "recommendation", Recommendation)
    assert found is not None
    return found.finding


def test_advice_goes_by_them_and_keeps_them(services: Services) -> None:
    capacity = Capacity(10.0, 10.0, 11.0, "slo", (), supported=True)
    services.catalog.findings.put("churn", "capacity", AT, capacity)
    span = {"start_at": AT - timedelta(seconds=30), "received_at": AT}
    services.lake.append({"spans": rows_of("spans", [span] * 300)})
    available(services, 2.0)
    put(services, "queue", 600.0)
    found = kept(services)
    assert (found.state, found.current) == ("ok", 2)
    assert (found.arrivals_rps, found.replicas) == (10.0, 3)  # (10 + 600 / 60) / (10 x 0.85)
    assert "600 requests wait (queue)" in found.reason
    assert "gpu (utilisation) is not known." in found.reason
    assert [(one.name, one.state, one.value) for one in found.inputs] == [
        ("arrivals", "fresh", 10.0),
        ("in_flight", "fresh", 0.05),  # 10 requests/s of 5 ms
        ("service_time", "fresh", 0.005),
        ("service_time_cv", "fresh", 0.0),
        ("capacity", "fresh", 10.0),
        ("replicas", "fresh", 2.0),
        ("cold_start", "fresh", 60.0),
        ("history", "unknown", None),
        ("queue_length", "fresh", 600.0),
        ("utilisation", "unknown", None),
    ]
    assert "history" not in found.reason and "cold" not in found.reason


@pytest.mark.parametrize("ago_s", [FRESH_S + 1, HEARD_S + 1])
def test_replicas_fall_back_to_instances_seen_in_spans(services: Services, ago_s: float) -> None:
    span = {"start_at": AT - timedelta(seconds=30), "received_at": AT}
    services.lake.append({"spans": rows_of("spans", [span | {"instance": name} for name in ("a", "b", "c")])})
    available(services, 9.0, ago_s)
    found = kept(services)
    assert (found.state, found.current) == ("hold", 3)  # no capacity was tested
    assert "k8s.deployment.available (replicas)" in found.reason
    assert "replicas are counted from spans instead." in found.reason
