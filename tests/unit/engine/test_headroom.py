"""A model's headroom from real stores: what is known stands there, what is not known is None and never 0."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import numpy as np
import pytest
from tests.house import AT, House
from tests.lake_rows import rows_of

from seamark.compute.arrival_history import DAYS
from seamark.core.advice import AdviceInput, ArrivalHistory, Forecast, Recommendation
from seamark.core.findings import Capacity
from seamark.core.windows import Window
from seamark.engine.advice_inputs import read_cold_start
from seamark.engine.arrival_history import ArrivalRoll
from seamark.engine.headroom import cut, headroom
from seamark.engine.model_history import ModelRoll, known_instances
from seamark.engine.services import Services

EVERY_S = 10
YAML = """
models:
  - name: {model}
    autoscale: {{min: 1, max: 6, cost_per_replica_hour: 0.5, cold_start_s: 30}}
"""


def send(house: House, since_s: float, until_s: float, every_s: float) -> None:
    """Requests of the model, one each `every_s`, from and until so many seconds before AT."""
    count = round((since_s - until_s) / every_s)
    starts = [AT - timedelta(seconds=since_s - number * every_s) for number in range(count)]
    rows = [{"model": house.model, "start_at": at, "received_at": at} for at in starts]
    house.services.lake.append({"spans": rows_of("spans", rows)})


def advise(house: House, since_s: float, until_s: float, **changes: object) -> None:
    for ago in range(round(since_s), round(until_s), -EVERY_S):
        at = AT - timedelta(seconds=ago)
        coming = Forecast(at + timedelta(seconds=60), 60.0, "ok", "trend", 0.8, 1.0, 1.2, 1.4)
        values = {"state": "ok", "replicas": 3, "current": 2, "capacity_rps": 0.6, "arrivals_rps": 1.0, **changes}
        advice = Recommendation(
            house.model,
            at,
            min=1,
            max=6,
            reason="because",
            forecast=coming,
            headroom_ratio=0.1,
            needed=3,
            inputs=(AdviceInput("cold_start", None, "fresh", 45.0, at, "spans", "s"),),
            **values,  # type: ignore[arg-type]
        )
        house.services.catalog.findings.put(house.model, "recommendation", at, advice)


def counted(house: House) -> ArrivalRoll:
    """Count all days of arrivals, as the node does that leads."""
    roll = ArrivalRoll()
    for _ in range(DAYS + 2):
        roll.tick(house.services, AT)
    return roll


def configure(house: House) -> None:
    answer = house.client.put("/api/v1/config", content=YAML.format(model=house.model))
    assert answer.status_code == 200, answer.text


def asked(house: House, **window: str) -> dict[str, object]:
    answer = house.client.get(f"{house.place}/headroom", params=window)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def hour(house: House) -> dict[str, object]:
    return asked(house, start=(AT - timedelta(hours=1)).isoformat(), end=AT.isoformat())


@pytest.fixture(autouse=True)
def at_noon(house: House) -> None:
    house.services.clock.advance((AT - house.services.clock.now()).total_seconds())  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_hour_of_everything(house: House) -> None:
    configure(house)
    tested = Capacity(0.8, 0.6, 0.9, "slo", (), True)
    house.services.catalog.findings.put(house.model, "capacity", AT - timedelta(days=1), tested)
    send(house, 3600, 0, 1.0)
    advise(house, 1800, 0)
    found = hour(house)
    steps = found["steps"]
    assert found["step_s"] == 60.0 and len(steps) == 60
    middle = steps[45]
    assert middle["arrivals_rps"] == pytest.approx(1.0, abs=0.05)
    counts = ("current", "recommended", "needed", "state")
    assert [middle[name] for name in counts] == [2, 3, 3, "ok"]
    assert (middle["safe_rps"], middle["capacity_rps"]) == (1.2, 0.6)
    assert middle["hpa"] >= 2
    early = steps[10]
    assert early["arrivals_rps"] == pytest.approx(1.0, abs=0.05)
    assert (early["recommended"], early["safe_rps"]) == (None, None)
    totals = {total["name"]: total for total in found["totals"]}
    assert set(totals) == {"ran", "recommended", "hpa"}
    assert totals["recommended"]["replica_hours"] == pytest.approx(3 * found["totals_over_s"] / 3600)
    assert totals["ran"]["cost"] == pytest.approx(totals["ran"]["replica_hours"] * 0.5)
    assert found["totals_over_s"] == pytest.approx(1800, abs=60)
    assert found["cold_start_s"] == 45.0
    assert found["forecasts"] and found["forecasts"][-1]["p99"] == 1.4
    assert found["growth"]["state"] == "too_little_history"
    assert found["capacity"]["source"] == "load_test"


@pytest.mark.slow
def test_an_outage_is_unknown_and_no_zero_but_silence_of_one_model_is(house: House) -> None:
    configure(house)
    long_ago = 20 * 86_400.0
    for since, until in ((3600, 2400), (1200, 0)):
        send(house, long_ago + since, long_ago + until, 1.0)

    def load() -> list[float | None]:
        ends = {name: (AT - timedelta(seconds=long_ago + s)).isoformat() for name, s in (("start", 3600), ("end", 0))}
        return [step["arrivals_rps"] for step in asked(house, **ends)["steps"]]  # type: ignore[index]

    assert load()[5] == pytest.approx(1.0, abs=0.05)
    assert set(load()[21:39]) == {None}
    other = House(house.services, house.client, "another-that-was-heard")
    send(other, long_ago + 3600, long_ago, 5.0)
    assert set(load()[21:39]) == {0.0}


def test_nothing_is_known_of_a_configured_model(house: House) -> None:
    configure(house)
    found = asked(house)
    assert found["asked"] is True
    assert (found["advice"], found["capacity"], found["totals"], found["ahead"]) == (None, None, [], [])
    assert len(found["steps"]) == 360
    assert {value for step in found["steps"] for name, value in step.items() if name != "at"} == {None}
    assert found["growth"] == {**found["growth"], "state": "too_little_history", "days": 0, "crossings": []}
    page = house.client.get(f"/models/{house.model}/headroom", headers={"Accept": "text/html"})
    assert page.status_code == 200 and "run a load test of shape capacity" in page.text


@pytest.mark.parametrize(
    ("end", "count", "wanted"),
    [
        (0, 2, [4, 5]),
        (0, 7, [None, None, 1, 2, 3, 4, 5]),
        (-2, 2, [2, 3]),
        (2, 3, [5, None, None]),
        (9, 2, [None, None]),
        (-9, 2, [None, None]),
    ],
)
def test_a_window_is_cut_out_of_a_history(end: int, count: int, wanted: list[float | None]) -> None:
    until = AT + end * timedelta(seconds=600)
    history = ArrivalHistory(AT, 600.0, np.arange(1.0, 6.0))
    found = cut(history, Window.trailing(until, count * 600.0))
    assert (found.end, found.step_s) == (until, 600.0)
    assert [None if np.isnan(rate) else rate for rate in found.rates] == wanted


@pytest.mark.slow
def test_a_long_window_is_read_in_long_steps(house: House) -> None:
    configure(house)
    send(house, 9 * 86_400, 0, 300.0)
    counted(house)
    found = asked(house, start=(AT - timedelta(days=9)).isoformat())
    assert found["step_s"] == 1800.0 and len(found["steps"]) == 432
    known = [step["arrivals_rps"] for step in found["steps"] if step["arrivals_rps"] is not None]
    assert len(known) > 420 and known[100] == pytest.approx(1 / 300)
    assert found["growth"]["state"] == "ok" and found["growth"]["days"] >= 8
    assert found["ahead"] and found["ahead"][0]["p50"] == pytest.approx(1 / 300, rel=0.2)


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"start": "2026-03-01T11:59:00Z", "end": "2026-03-01T12:00:00Z"}, "15m to 15d"),
        ({"start": "2025-03-01T11:59:00Z", "end": "2026-03-01T12:00:00Z"}, "15m to 15d"),
        ({"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}, "not begun yet"),
        ({"start": "yesterday"}, "RFC 3339"),
    ],
)
def test_a_window_that_cannot_be_told_of_is_refused(house: House, window: dict[str, str], told: str) -> None:
    configure(house)
    answer = house.client.get(f"{house.place}/headroom", params=window)
    assert answer.status_code == 422 and told in answer.json()["detail"]


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    assert client.get("/api/v1/models/nobody/headroom").status_code == 404
    page = client.get("/models/nobody/headroom", headers={"Accept": "text/html"})
    assert page.status_code == 404 and "there is no model" in page.text


@pytest.mark.slow
def test_a_node_that_does_not_lead_tells_the_same(house: House, services: Services) -> None:
    house = House(services, house.client, "churn")  # in stores of its own, of which no day is counted yet
    slo = 'slo: {latency: "p99(latency_ms) < 300", availability: 0.99}'
    text = YAML.replace(", cold_start_s: 30", "").format(model=house.model) + f"    {slo}\n"
    house.services.configuration.apply(text, AT)
    send(house, 9 * 86_400, 4 * 3600, 300.0)
    send(house, 4 * 3600, 0, 1.0)
    advise(house, 600, 0, capacity_rps=None)
    counted(house)
    roll = ModelRoll()
    for ago in range(20, -1, -1):
        roll.tick(house.services, AT - timedelta(minutes=10 * ago) + timedelta(seconds=150))
    web = replace(house.services)  # the same stores, and a memory that no job fills
    assert not web.remembered.history and not web.remembered.production
    window = Window.trailing(AT, 9 * 86_400.0)
    led, told = (headroom(services, house.model, window, AT) for services in (house.services, web))
    assert led.capacity is not None and led.capacity.source == "production" and led.growth.state == "ok"
    assert led.ahead and any(step.hpa for step in led.steps)
    assert told == led
    spec = house.services.configuration.current().models[0]
    assert read_cold_start(web, spec, AT) == read_cold_start(house.services, spec, AT)
    assert known_instances(web, house.model, AT) == house.services.remembered.instances[house.model]
