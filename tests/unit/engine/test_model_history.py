"""What replicas carried and what their starts took is learned from spans, and advice goes by it and says so."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from tests.house import remember_nothing
from tests.lake_rows import AT, rows_of

from seamark.core.advice import AdviceInput, Recommendation
from seamark.core.day_rates import day_of, nothing, step_of
from seamark.core.findings import Capacity
from seamark.core.specs import ModelSpec
from seamark.core.traffic import SeenInstances
from seamark.engine.advice import advise
from seamark.engine.advice_inputs import gather
from seamark.engine.capacity_input import FLOOR
from seamark.engine.model_history import ModelRoll, production
from seamark.engine.services import Services
from seamark.store import traffic

YAML = """\
models:
  - name: NAME
    slo: {latency: "p99(latency_ms) < 300", availability: 0.99}
    autoscale: {max: 9, cold_start_s: auto}
"""


IDS = count(1)
NAMES = (f"m{number}" for number in count())


class Model:
    """A model of the test's own, which is advised."""

    def __init__(self, services: Services) -> None:
        self.services, self.name = services, next(NAMES)
        remember_nothing(services)
        self.configure(YAML)

    def configure(self, text: str) -> None:
        self.services.configuration.apply(text.replace("NAME", self.name), AT)

    @property
    def spec(self) -> ModelSpec:
        return self.services.configuration.current().models[0]

    def advice(self) -> Recommendation:
        advise(self.services, self.spec, AT)
        made = self.services.catalog.findings.latest(self.name, "recommendation", Recommendation)
        assert made is not None
        return made.finding


@pytest.fixture
def advised(shared: tuple[Services, object]) -> Model:
    return Model(shared[0])


def ten_minutes(model: Model, back: float, per_minute: int, instances: int = 2, **fields: Any) -> None:
    """Traffic of the ten minutes that ended `back` steps before AT."""
    end = AT - timedelta(minutes=10 * back)
    count = per_minute * 10
    rows = []
    for n in range(count):
        at = end - timedelta(seconds=600 * (n + 0.5) / count)
        rows.append({"start_at": at, "received_at": at, "instance": f"pod-{n % instances}", **fields})
    named = [{**row, "model": model.name, "trace_id": next(IDS).to_bytes(16, "big")} for row in rows]
    model.services.lake.append({"spans": rows_of("spans", named)})


def rolled(model: Model, steps: int = 20) -> ModelRoll:
    roll = ModelRoll()
    for back in range(steps, -1, -1):
        roll.tick(model.services, AT - timedelta(minutes=10 * back) + timedelta(minutes=3))
    return roll


def cut(services: Services, what: str) -> float | None:
    return services.telemetry.registry.get_sample_value("seamark_advice_cut_total", {"what": what})


def told(model: Model) -> dict[str, AdviceInput]:
    return {one.name: one for one in gather(model.services, model.spec, AT + timedelta(minutes=1)).told}


@pytest.mark.slow
def test_where_no_load_test_ran_advice_goes_by_what_was_carried(advised: Model) -> None:
    for back in range(19):
        ten_minutes(advised, back, 360)
    rolled(advised)
    one = told(advised)["capacity"]
    assert (one.state, one.source, one.unit) == ("fresh", "production", "requests/s")
    assert one.value == pytest.approx((360 - 1.645 * 360**0.5) / 60 / 2, rel=0.01)
    assert one.value is not None and one.value <= 3.0, "no more than was carried"
    assert one.note == FLOOR
    made = advised.advice()
    assert made.state == "ok" and made.replicas is not None
    assert made.replicas >= 2, "it may ask for too many, not for too few"
    assert "was seen to carry" in made.reason and "(no load test has run)" in made.reason


@pytest.mark.slow
def test_a_floor_does_not_sink_because_advice_lowered_the_load(advised: Model) -> None:
    for back in range(1, 20):
        ten_minutes(advised, back, 360)
    rolled(advised)
    first = told(advised)["capacity"].value
    assert first is not None
    later = AT + timedelta(days=8)
    for back in range(20):
        end = later - timedelta(minutes=10 * back)
        minutes = nothing()
        minutes[step_of(end)] = 0.5
        advised.services.catalog.carried.merge(day_of(end), {(advised.name, "v1"): minutes})
    found = production(advised.services, advised.name, later)
    assert found is not None and found.capacity.safe_rps == pytest.approx(first)
    assert found.capacity.at is not None and found.capacity.at <= AT
    higher = nothing()
    higher[:40] = 9.0
    advised.services.catalog.carried.merge(day_of(later), {(advised.name, "v1"): higher})
    risen = production(advised.services, advised.name, later)
    assert risen is not None and risen.capacity.safe_rps == 9.0


@pytest.mark.slow
def test_another_versions_capacity_is_used_and_told(advised: Model) -> None:
    for back in range(1, 20):
        ten_minutes(advised, back, 360)
    ten_minutes(advised, 0, 360, version="v2")
    rolled(advised)
    one = told(advised)["capacity"]
    assert one.state == "stale" and one.value is not None
    assert (one.note or "").startswith("measured on version v1, and v2 serves now; ")
    made = advised.advice()
    assert made.reason.endswith("The capacity was measured on version v1, and v2 serves now.")


@pytest.mark.parametrize("fields", [{"failed": True}, {"duration_ns": 10**9}], ids=["failed", "slow"])
def test_without_either_it_holds(advised: Model, fields: dict[str, Any]) -> None:
    for back in range(19):
        ten_minutes(advised, back, 60, **fields)
    rolled(advised)
    one = told(advised)["capacity"]
    assert (one.state, one.value) == ("unknown", None)
    made = advised.advice()
    assert (made.state, made.replicas) == ("hold", 2)


@pytest.mark.slow
def test_refused_requests_are_no_load(advised: Model) -> None:
    advised.configure(YAML.replace(", availability: 0.99", ""))
    for back in range(19):
        ten_minutes(advised, back, 60)
        ten_minutes(advised, back, 60, failed=True, duration_ns=10**6)
        ten_minutes(advised, back, 6, failed=True, duration_ns=10**10)  # in time or not, it was not answered
    rolled(advised)
    one = told(advised)["capacity"]
    assert one.source == "production" and one.value == pytest.approx((60 - 1.645 * 60**0.5) / 60 / 2, rel=0.01)


def test_instances_beyond_measure_are_counted(advised: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "BIRTHS_MAX", 1)
    before = cut(advised.services, "instances")
    ten_minutes(advised, 0, 6)
    rolled(advised, 0)
    assert cut(advised.services, "instances") == before + 1


def test_an_old_test_still_counts_and_says_how_old_it_is(advised: Model) -> None:
    tested = Capacity(10.0, 9.0, 11.0, "slo", (), supported=True)
    advised.services.catalog.findings.put(advised.name, "capacity", AT - timedelta(days=41), tested)
    ten_minutes(advised, 0, 60)
    one = told(advised)["capacity"]
    assert (one.state, one.source, one.value, one.low, one.high) == ("stale", "load_test", 9.0, 9.0, 11.0)
    assert one.note == "measured 41 days ago"
    advised.services.catalog.findings.put(advised.name, "capacity", AT - timedelta(days=29), tested)
    assert (told(advised)["capacity"].state, told(advised)["capacity"].note) == ("fresh", None)


def pods(model: Model, starts: dict[str, float], first_s: float) -> None:
    """Pods that began to start so many seconds before their first request, which came `first_s` before AT."""
    rows: list[dict[str, Any]] = []
    for n, (name, start_s) in enumerate(starts.items()):
        at = AT - timedelta(seconds=first_s)
        said = {"k8s.pod.start_time": (at - timedelta(seconds=start_s)).isoformat(), "k8s.pod.uid": name}
        row = {
            "model": model.name,
            "instance": name,
            "resource": json.dumps(said),
            "trace_id": next(IDS).to_bytes(16, "big"),
        }
        rows += [{**row, "start_at": at + timedelta(seconds=s), "span_id": s.to_bytes(8, "big")} for s in (n, 60 + n)]
    model.services.lake.append({"spans": rows_of("spans", rows)})


@pytest.mark.slow
def test_cold_starts_are_measured_and_default_until_then(advised: Model) -> None:
    ten_minutes(advised, 4, 60)
    roll = rolled(advised, 6)
    one = told(advised)["cold_start"]
    assert (one.source, one.value) == ("default", 60.0)
    assert "0 of 3 starts" in (one.note or "")
    pods(advised, {"a": 40.0, "b": 50.0, "c": 90.0}, 300.0)
    roll.tick(advised.services, AT + timedelta(minutes=13))
    one = told(advised)["cold_start"]
    assert (one.source, one.unit, one.state) == ("spans", "s", "fresh")
    assert one.value == pytest.approx(92.0) and one.low == pytest.approx(51.0)
    assert "of 3 starts" in (one.note or "") and "k8s.pod.start_time" in (one.note or "")
    assert gather(advised.services, advised.spec, AT).cold_start_s == pytest.approx(92.0)
    again = ModelRoll()
    again.tick(advised.services, AT + timedelta(minutes=14))
    assert told(advised)["cold_start"].value == pytest.approx(92.0), "it is kept over a restart"
    kept = advised.services.catalog.findings.latest(advised.name, "instances", SeenInstances)
    assert kept is not None and {one.name for one in kept.finding.seen} >= {"a", "b", "c", "pod-0"}


def test_a_cold_start_that_is_given_is_not_measured(advised: Model) -> None:
    advised.configure(YAML.replace("auto}", "25}"))
    one = told(advised)["cold_start"]
    assert (one.source, one.value) == ("seamark.yaml", 25.0)


def test_what_is_no_longer_configured_is_forgotten(advised: Model) -> None:
    ten_minutes(advised, 0, 60)
    roll = rolled(advised, 1)
    assert set(advised.services.remembered.instances) == {advised.name}
    advised.configure("models: []")
    roll.tick(advised.services, AT + timedelta(minutes=30))
    assert advised.services.remembered.instances == advised.services.remembered.production == {}
