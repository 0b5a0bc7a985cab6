"""How many replicas run is found in the cluster's own metrics, where they can only mean this model."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from tests.house import remember_nothing
from tests.lake_rows import AT, rows_of

from seamark.core.advice import AdviceInput
from seamark.core.specs import AutoscaleSpec, ModelSpec
from seamark.core.traffic import SeenInstances
from seamark.engine.inputs import FRESH_S
from seamark.engine.replicas import AVAILABLE, DESIRED, SPANS_SEE, read_replicas
from seamark.engine.services import Services

NAMES = (f"m{number}" for number in count())


@pytest.fixture
def services(shared: tuple[Services, object]) -> Services:
    return shared[0]


@pytest.fixture
def name() -> str:
    """A model of the test's own, and its workload."""
    return next(NAMES)


def put(services: Services, value: float | None, metric: str = AVAILABLE[0], ago_s: float = 10.0, **said: str) -> None:
    resource = json.dumps({f"k8s.{key}.name": text for key, text in said.items()})
    point: dict[str, Any] = {"model": "collector", "name": metric, "value": value, "resource": resource}
    services.lake.append({"metric_points": rows_of("metric_points", [point | {"at": AT - timedelta(seconds=ago_s)}])})


def found(services: Services, model: str, in_spans: int | None = 7) -> AdviceInput:
    remember_nothing(services)
    return read_replicas(services, ModelSpec(model, autoscale=AutoscaleSpec()), AT, in_spans)


@pytest.mark.parametrize("metric", AVAILABLE)
def test_a_workload_of_the_models_name_is_believed(services: Services, name: str, metric: str) -> None:
    put(services, 4.0, metric, statefulset=name)
    put(services, 9.0, name, deployment="other")
    one = found(services, name)
    assert (one.state, one.value, one.source, one.metric) == ("fresh", 4.0, "metrics", metric)


def test_what_serves_counts_before_what_is_desired(services: Services, name: str) -> None:
    put(services, 6.0, DESIRED[0], deployment=name)
    one = found(services, name)
    assert (one.value, one.note) == (6.0, "as many are desired; how many serve is not sent")
    put(services, 0.0, deployment=name)
    assert (found(services, name).value, found(services, name).note) == (0.0, None)


def test_a_name_that_is_there_twice_is_not_guessed_at(services: Services, name: str) -> None:
    put(services, 4.0, deployment=name, namespace="shop")
    put(services, 9.0, deployment=name, namespace="test")
    one = found(services, name)
    assert (one.state, one.value, one.source) == ("fresh", 7.0, "spans")
    assert (one.note or "").startswith(f"several workloads are called {name} (shop, test)")
    assert found(services, name, in_spans=None).state == "unknown"


def test_the_workload_that_spans_name_is_the_one(services: Services, name: str) -> None:
    put(services, 4.0, deployment=f"shop-{name}", namespace="shop")
    put(services, 9.0, deployment=f"shop-{name}", namespace="test")
    put(services, 1.0, deployment=name, namespace="test")
    services.remembered.instances = {name: SeenInstances(AT, AT, (), f"shop-{name}", "shop")}
    assert found(services, name).value == 4.0


def test_a_model_whose_name_no_cluster_takes_is_looked_for_by_the_manifests_name(services: Services) -> None:
    put(services, 3.0, deployment="churn-v2-2c4d0374")
    assert found(services, "Churn v2").value == 3.0


@pytest.mark.parametrize("value, ago_s", [(4.0, FRESH_S + 1), (None, 1.0), (-1.0, 1.0)], ids=["old", "ended", "odd"])
def test_else_instances_are_counted_and_it_says_so(
    services: Services, name: str, value: float | None, ago_s: float
) -> None:
    put(services, value, ago_s=ago_s, deployment=name)
    one = found(services, name)
    assert (one.state, one.value, one.source) == ("fresh", 7.0, "spans")
    assert SPANS_SEE in (one.note or "")
