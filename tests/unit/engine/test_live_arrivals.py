"""Arrivals of now from real spans: by start, whatever became of the request, made whole where spans come late."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import numpy as np
import pytest
from tests.house import remember_nothing
from tests.lake_rows import AT, rows_of

from seamark.core.specs import AutoscaleSpec, ModelSpec
from seamark.engine.advice_inputs import gather
from seamark.engine.live_arrivals import foresee, read_arrivals
from seamark.engine.services import Services

IDS = count(1)


@pytest.fixture
def services(shared: tuple[Services, object]) -> Services:
    remember_nothing(shared[0])
    return shared[0]


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    """A model of the test's own."""
    return ModelSpec(request.node.name, autoscale=AutoscaleSpec())


def send(
    services: Services, model: str, ages_s: np.ndarray, took_s: np.ndarray, late_s: np.ndarray, **fields: object
) -> None:
    """Store the spans of requests that began so long ago, of which a sender's span has come by now."""
    here = late_s <= ages_s
    rows = [
        {
            "model": model,
            "trace_id": next(IDS).to_bytes(16, "big"),
            "start_at": AT - timedelta(seconds=age),
            "received_at": AT - timedelta(seconds=age - late),
            "duration_ns": int(took * 1e9),
            **fields,
        }
        for age, took, late in zip(ages_s[here], took_s[here], late_s[here], strict=True)
    ]
    services.lake.append({"spans": rows_of("spans", rows)})


@pytest.mark.slow
def test_a_backlog_of_slow_requests_is_not_taken_for_less_traffic(services: Services, spec: ModelSpec) -> None:
    rng = np.random.default_rng(3)
    ages = rng.uniform(0, 900, 9_000)  # 10 requests/s
    took = rng.gamma(4.0, 6.0, len(ages))  # 24 s on average
    send(services, spec.name, ages, took, took + rng.uniform(0, 5, len(ages)))
    found = read_arrivals(services, spec.name, AT)
    assert found.rate_rps == pytest.approx(10.0, rel=0.1)
    assert 10 <= found.behind_s <= 40
    assert found.told.at == AT - timedelta(seconds=found.behind_s)
    assert "90 % of spans come within" in (found.told.note or "") and "are left out" in (found.told.note or "")
    coming = foresee(found, AT, 90.0)
    assert (coming.at, coming.horizon_s) == (AT + timedelta(seconds=90), 90.0)

    told = {one.name: one for one in gather(services, spec, AT).told}
    assert told["service_time"].value == pytest.approx(24.0, rel=0.05)
    assert told["service_time_cv"].value == pytest.approx(0.5, rel=0.1)
    assert told["in_flight"].value == pytest.approx(240.0, rel=0.15)
    assert (told["in_flight"].source, told["in_flight"].unit) == ("spans", "requests")


def test_failed_refused_and_cut_requests_arrived_too(services: Services, spec: ModelSpec) -> None:
    for status, failed in ((200, False), (429, False), (503, True), (499, False), (None, True)):
        ages = np.linspace(0.5, 119.5, 120)
        send(services, spec.name, ages, np.full(120, 0.01), np.full(120, 0.02), http_status=status, failed=failed)
    send(services, spec.name, np.linspace(0.5, 119.5, 500), np.full(500, 0.01), np.full(500, 0.02), synthetic=True)
    found = read_arrivals(services, spec.name, AT)
    assert found.rate_rps == pytest.approx(5.0, rel=0.02)
    assert found.behind_s == 0


@pytest.mark.slow
def test_what_a_sender_kept_during_an_outage_changes_nothing_of_now(services: Services, spec: ModelSpec) -> None:
    ages = np.linspace(0.1, 600, 6_000)
    send(services, spec.name, ages, np.full(6_000, 0.01), np.full(6_000, 2.0))
    before = read_arrivals(services, spec.name, AT).rate_rps
    kept = np.linspace(300, 900, 20_000)
    send(services, spec.name, kept, np.full(20_000, 0.01), kept - 60.0)  # all of it came a minute ago
    remember_nothing(services)
    after = read_arrivals(services, spec.name, AT)
    assert after.rate_rps == pytest.approx(before, rel=0.05) and after.behind_s == 0


def test_silence_is_unknown_and_says_since_when(services: Services, spec: ModelSpec) -> None:
    assert read_arrivals(services, spec.name, AT).told.state == "unknown"
    remember_nothing(services)
    ages = np.linspace(300, 900, 600)
    send(services, spec.name, ages, np.full(600, 0.01), np.full(600, 0.5))
    found = read_arrivals(services, spec.name, AT)
    assert (found.rate_rps, found.told.state, found.told.value) == (None, "stale", None)
    assert found.told.at is not None and abs((AT - found.told.at).total_seconds() - 300) <= 10
    assert foresee(found, AT, 90.0).state == "stale"


def test_a_clock_that_is_ahead_or_behind_gives_no_wild_number(services: Services, spec: ModelSpec) -> None:
    ages = np.linspace(0.5, 899.5, 900)
    send(services, spec.name, ages, np.full(900, 0.01), np.full(900, 1.0))
    ahead = [
        {
            "start_at": AT - timedelta(seconds=age),
            "received_at": AT - timedelta(seconds=age + 3_600),
            "model": spec.name,
        }
        for age in ages
    ]
    services.lake.append({"spans": rows_of("spans", ahead)})
    found = read_arrivals(services, spec.name, AT)
    assert found.rate_rps is not None and found.rate_rps <= 4.0


def test_requests_in_flight_are_those_that_servers_count(services: Services, spec: ModelSpec) -> None:
    for instance, value in (("a", 3.0), ("b", 4.0)):
        point = {
            "name": "http.server.active_requests",
            "value": value,
            "at": AT,
            "instance": instance,
            "model": spec.name,
        }
        point |= {"kind": "sum", "monotonic": False, "temporality": 2}
        services.lake.append({"metric_points": rows_of("metric_points", [point])})
    told = {one.name: one for one in gather(services, spec, AT).told}
    assert (told["in_flight"].value, told["in_flight"].metric) == (7.0, "http.server.active_requests")


def test_nothing_known_is_told_input_by_input(services: Services, spec: ModelSpec) -> None:
    told = {one.name: (one.state, one.value) for one in gather(services, spec, AT).told}
    assert told == {
        "arrivals": ("unknown", None),
        "in_flight": ("unknown", None),
        "service_time": ("unknown", None),
        "service_time_cv": ("unknown", None),
        "capacity": ("unknown", None),
        "replicas": ("unknown", None),
        "cold_start": ("fresh", 60.0),
        "history": ("unknown", None),
    }
    assert all(one.note for one in gather(services, spec, AT).told if one.name in ("capacity", "replicas", "history"))


@pytest.mark.slow
@pytest.mark.parametrize("others", [False, True], ids=["nobody heard", "another heard"])
def test_an_outage_of_telemetry_is_no_fall_of_traffic(services: Services, spec: ModelSpec, others: bool) -> None:
    far = AT - timedelta(days=30 if others else 60)  # of its own: other tests' models are heard of around AT
    ages = np.arange(0.05, 1_200.0, 0.1)
    heard = ages[(ages > 240) | (ages < 36)]  # silence for 200 s, and for half a minute it is over

    def store(model: str, ages_s: np.ndarray) -> None:
        starts = [far - timedelta(seconds=age) for age in ages_s]
        rows = [
            {"model": model, "trace_id": next(IDS).to_bytes(16, "big"), "start_at": start, "received_at": start}
            for start in starts
        ]
        services.lake.append({"spans": rows_of("spans", rows)})

    store(spec.name, heard)
    if others:
        store(f"{spec.name} beside", np.arange(20.0, 300.0, 5.0))
    found = read_arrivals(services, spec.name, far)
    if others:
        assert found.rate_rps is not None and found.rate_rps < 7.0
    else:
        assert found.rate_rps == pytest.approx(10.0, rel=0.1)
        assert found.steps[:-1].min() > 5.0
