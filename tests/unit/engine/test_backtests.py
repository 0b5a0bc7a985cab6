"""A model's own history is read, played in a process of its own, kept, and gates its recommendation."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.house import AT, House
from tests.lake_rows import rows_of

from seamark.core.advice import AdviceGate, AdviceRules, Recommendation
from seamark.core.errors import SeamarkError
from seamark.core.findings import Capacity
from seamark.core.own_backtest import BacktestAsked, BacktestSays, OwnBacktest
from seamark.core.specs import StepLimit
from seamark.engine import backtests
from seamark.engine.advice import advise
from seamark.engine.advice_gate import BACKTEST, SAYS, gate
from seamark.engine.backtests import Backtester
from seamark.engine.own_history import HeardDays, own_history, unheard_as_unknown
from seamark.engine.services import Services
from seamark.runner import backtest as playing

CONFIG = "models:\n  - name: {}\n    autoscale: {{min: 1, max: 50, cost_per_replica_hour: 0.5, cold_start_s: 90}}\n"


def sent(
    services: Services, hours: float, every_s: float, *, model: str = "churn", until_h: float = 0.0, **fields: object
) -> None:
    """Requests in even steps, the last of them `until_h` hours ago."""
    count = round((hours - until_h) * 3600 / every_s)
    end = AT - timedelta(hours=until_h)
    rows = [{"model": model, "start_at": end - timedelta(seconds=(n + 0.5) * every_s), **fields} for n in range(count)]
    services.lake.append({"spans": rows_of("spans", rows)})


def post(house: House, **body: object) -> None:
    answer = house.client.post(f"{house.place}/backtest", json=body)
    assert answer.status_code == 202, answer.text


def read(house: House) -> dict[str, Any]:
    answer = house.client.get(f"{house.place}/backtest")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def own(house: House) -> House:
    """A model of which advice is asked, the only one configured; others' requests may be in the lake."""
    house.services.configuration.apply(CONFIG.format(house.model), AT)
    return house


@pytest.fixture
def asked(own: House) -> House:
    """One with eight hours of a request each 10 s, whose backtest waits."""
    sent(own.services, 8, 10.0, model=own.model)
    post(own, capacity_rps=0.02)
    return own


@pytest.mark.slow
def test_the_warm_floor_of_its_own_history_goes_with_the_advice(own: House) -> None:
    """Eight hours at 0.2 requests/s, and in each of them two minutes of five times that."""
    own.services.configuration.apply(
        CONFIG.format(own.model).replace("cold_start_s: 90", "cold_start_s: 90, warm: auto"), AT
    )
    sent(own.services, 8, 5.0, model=own.model)
    for hour in range(7):
        sent(own.services, hour + 0.5, 1.25, model=own.model, until_h=hour + 0.5 - 1 / 30)
    own.services.catalog.findings.put(own.model, "capacity", AT, Capacity(0.11, 0.1, 0.13, "slo", (), True))
    assert Backtester().tick(own.services, AT)
    answer = read(own)
    floor = answer["warm_floor"]
    assert f"{floor['replicas']} kept warm" in answer["notes"][-1]
    assert floor["state"] == "ok" and 3 < floor["replicas"] <= 50 and floor["carried"] > 0 and floor["cost"] > 0
    spec = own.services.configuration.model(own.model)
    assert spec is not None
    advise(own.services, spec, AT)
    found = own.services.catalog.findings.latest(own.model, "recommendation", Recommendation)
    assert found is not None and found.finding.warm_floor is not None
    assert found.finding.warm_floor.replicas == floor["replicas"] and found.finding.replicas >= floor["replicas"]


# --- its history ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_arrivals_are_read_from_the_first_request_on_across_midnights(services: Services) -> None:
    sent(services, 30, 10.0)
    sent(services, 30, 5.0, synthetic=True)
    found = own_history(services, "churn", AT, 14.0, HeardDays())
    assert found is not None and found.step_s == 15.0
    assert found.end == AT - timedelta(seconds=60)
    assert len(found.rates) == (30 * 3600 - 60) / 15
    assert found.rates.mean() == pytest.approx(0.1, rel=0.001) and np.isfinite(found.rates).all()
    assert len(own_history(services, "churn", AT, 0.25, HeardDays()).rates) == 6 * 240  # type: ignore[union-attr]
    assert own_history(services, "nobody", AT, 14.0, HeardDays()) is None


def test_silence_of_everybody_is_unknown_and_silence_of_one_is_not(services: Services) -> None:
    sent(services, 10, 10.0, until_h=6)
    sent(services, 5, 10.0)
    found = own_history(services, "churn", AT, 1.0, HeardDays())
    assert found is not None
    assert np.flatnonzero(np.isnan(found.rates)).tolist() == list(range(4 * 240 - 1, 5 * 240 + 1))
    sent(services, 10, 30.0, model="other")
    found = own_history(services, "churn", AT, 1.0, HeardDays())
    assert found is not None and not np.isnan(found.rates).any() and not found.rates[4 * 240 : 5 * 240].any()


def test_a_silence_in_which_nothing_was_to_be_expected_is_known() -> None:
    rates = np.zeros(400)
    rates[[0, 100, 110, 399]] = 1 / 15
    heard = rates > 0
    found = unheard_as_unknown(rates, heard)
    assert np.flatnonzero(np.isnan(found)).tolist() == []
    rates[:100] = 1.0
    rates[300:] = 1.0
    assert np.isnan(unheard_as_unknown(rates, rates > 0)[111:300]).all()


def test_what_was_heard_of_old_days_is_looked_up_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(services, 60, 300.0)
    heard, asked = HeardDays(), []
    query = services.lake.query
    monkeypatch.setattr(services.lake, "query", lambda sql, *a, **k: asked.append(sql) or query(sql, *a, **k))
    for _ in range(2):
        own_history(services, "churn", AT, 3.0, heard)
    looked = [sql for sql in asked if "DISTINCT (epoch" in sql]
    assert len(looked) == 4 + 1  # of four days the newest goes on, so it is looked up again


@pytest.mark.slow
def test_holes_are_told(services: Services) -> None:
    services.configuration.apply(CONFIG.format("churn"), AT)
    sent(services, 12, 10.0, until_h=3)
    sent(services, 2, 10.0)
    backtests.ask(services, "churn", BacktestAsked(AT, capacity_rps=0.02))
    Backtester().tick(services, AT)
    found = backtests.newest(services, "churn")
    assert found is not None and found.found is not None
    assert found.found.days == pytest.approx((9 + 2 - 1 / 60) / 24, rel=0.01)
    assert found.found.notes == (
        "1 hole without telemetry, the longest of 1h, bridged in a straight line.",
        "1h of them are in no figure: holes of more than five minutes are only played.",
    )


def test_half_a_history_of_holes_is_too_little(services: Services) -> None:
    services.configuration.apply(CONFIG.format("churn"), AT)
    sent(services, 40, 10.0, until_h=36)
    sent(services, 4, 10.0)
    Backtester().tick(services, AT)
    found = backtests.newest(services, "churn")
    assert found is not None and (found.state, found.gate.state) == ("too_little_history", "unknown")
    assert "at least half is needed" in found.reason


# --- played, kept, told -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_asked_for_played_and_read(asked: House) -> None:
    answer = asked.client.get(f"{asked.place}/backtest")
    assert (answer.status_code, "being played" in answer.json()["detail"]) == (404, True)
    assert Backtester().tick(asked.services, AT)
    found = read(asked)
    assert (found["state"], found["what_if"], found["waiting"]) == ("played", True, None)
    assert [one["name"] for one in found["policies"]][:2] == ["seamark", "hpa"]
    assert all(one["cost"] == pytest.approx(one["replica_hours"] / 2) for one in found["policies"])
    assert (found["capacity_rps"], found["capacity_source"]) == (0.02, "asked")
    assert (found["cold_start_s"], found["cold_start_source"]) == (90.0, "seamark.yaml")
    assert (found["min"], found["max"], found["days_asked"]) == (1, 50, 14.0)
    assert found["days"] == pytest.approx(1 / 3, rel=0.01) and found["reason"] == found["verdict"]
    assert found["gate"]["state"] in ("recommended", "weigh", "not_recommended")
    assert found["window"]["end"] == "2026-03-01T11:59:00Z" and found["cpu_s"] > 0
    assert gate(asked.services, asked.model, AT).state == "unknown"  # a what-if moves no gate


@pytest.mark.slow
def test_the_gate_goes_with_the_recommendation_and_is_kept_with_it(own: House) -> None:
    services, model = own.services, own.model
    sent(services, 8, 10.0, model=model)
    services.catalog.findings.put(model, "capacity", AT, Capacity(0.022, 0.02, 0.03, "slo", (), True))
    spec = services.configuration.model(model)
    assert spec is not None
    advise(services, spec, AT)
    first = own.client.get(f"{own.place}/recommendation").json()["gate"]
    assert first == {"state": "unknown", "sentence": "Not backtested yet on this model's own history.", "at": None}
    assert Backtester().tick(services, AT)  # its daily turn
    advise(services, spec, AT + timedelta(seconds=10))
    told = read(own)
    assert (told["what_if"], told["asked_at"], told["capacity_source"]) == (False, None, "load_test")
    assert services.catalog.findings.latest(model, SAYS, BacktestSays) is not None  # also when there is a newer one
    shown = own.client.get(f"{own.place}/recommendation", params={"at": "2026-03-01T12:00:10Z"}).json()
    assert shown["gate"] == told["gate"] and "0.3 days" in told["gate"]["sentence"]
    assert gate(services, model, AT + timedelta(days=8)).state == "unknown"


@pytest.mark.parametrize(
    "hours, body, state, words",
    [
        (0.0, {"capacity_rps": 1.0}, "too_little_history", "No requests of this model are in the lake"),
        (
            3.0,
            {"capacity_rps": 1.0},
            "too_little_history",
            "2h59m of this model's arrivals are known; a backtest needs",
        ),
        (7.0, {}, "no_capacity", "What one replica carries is not known"),
        (7.0, {"capacity_rps": 1e-6}, "refused", "capacity_rps 1e-06 is impossible here"),
    ],
)
def test_what_cannot_be_played_is_told_and_leaves_the_gate_unknown(
    own: House, hours: float, body: dict[str, float], state: str, words: str
) -> None:
    if hours:
        sent(own.services, hours, 10.0, model=own.model)
    post(own, **body)
    assert Backtester().tick(own.services, AT)
    found = read(own)
    assert found["state"] == state and words in found["reason"] and "policies" not in found
    assert found["gate"]["state"] == "unknown" and found["gate"]["sentence"] == found["reason"]


# --- when -------------------------------------------------------------------------------------------------------------


def kept(model: str, at: datetime, state: str = "played") -> OwnBacktest:
    return OwnBacktest(model, at, backtests.OwnState(state), "r", 14.0, AdviceGate("weigh", "s", at))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def play(services: Services, spec, at, asked, heard, stopping) -> OwnBacktest:  # type: ignore[no-untyped-def]
        names.append(spec.name)
        return replace(
            kept(spec.name, at), asked_at=asked.at if asked else None, what_if=asked is not None and asked.what_if
        )

    monkeypatch.setattr(backtests, "play", play)
    return names


def test_each_model_has_its_turn_once_a_day_and_what_is_asked_for_comes_first(house: House, made: list[str]) -> None:
    services = house.services
    listed = "".join(f"  - name: {name}\n    autoscale: {{max: 5}}\n" for name in ("a", "b", "c"))
    services.configuration.apply(f"models:\n{listed}  - name: watched\n", AT)
    tester = Backtester()
    backtests.ask(services, "b", BacktestAsked(AT, capacity_rps=3.0))
    seconds = 0.0
    while tester.tick(services, AT + timedelta(seconds=seconds)):
        seconds += 2
    assert made[0] == "b" and sorted(made[1:]) == ["a", "b", "c"]
    made.clear()
    assert not tester.tick(services, AT + timedelta(hours=23))
    for _ in range(4):
        tester.tick(services, AT + timedelta(hours=24, minutes=2))
    assert sorted(made) == ["a", "b", "c"]


def test_one_that_could_not_be_played_is_tried_again_in_an_hour(own: House, made: list[str]) -> None:
    failed = kept(own.model, AT, "too_little_history")
    own.services.catalog.findings.put(own.model, BACKTEST, AT, failed, replace=True)
    assert not Backtester().tick(own.services, AT + timedelta(minutes=59))
    assert Backtester().tick(own.services, AT + timedelta(minutes=61)) and made == [own.model]


def test_a_failure_is_kept_and_an_interruption_leaves_the_question(
    asked: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Backtester().tick(asked.services, AT, stopping=lambda: True)
    assert asked.client.get(f"{asked.place}/backtest").status_code == 404
    assert backtests.waiting(asked.services, asked.model) is not None

    def fail(*_: object, **__: object) -> None:
        raise SeamarkError("it said nothing")

    monkeypatch.setattr(playing, "play", fail)
    assert Backtester().tick(asked.services, AT)
    found = read(asked)
    assert (found["state"], found["reason"]) == ("failed", "The backtest failed: it said nothing.")
    assert backtests.waiting(asked.services, asked.model) is None


def test_a_failure_leaves_the_last_gate_until_that_is_a_week_old(own: House, monkeypatch: pytest.MonkeyPatch) -> None:
    own.services.catalog.findings.put(own.model, BACKTEST, AT, kept(own.model, AT), replace=True)

    def fail(*_: object) -> None:
        raise SeamarkError("the lake was away")

    monkeypatch.setattr(backtests, "play", fail)
    for day in (1, 2, 6):
        assert Backtester().tick(own.services, AT + timedelta(days=day))
        assert read(own)["state"] == "failed"
        assert gate(own.services, own.model, AT + timedelta(days=day)) == AdviceGate("weigh", "s", AT)
    assert gate(own.services, own.model, AT + timedelta(days=7, seconds=1)).state == "unknown"


@pytest.mark.slow
def test_the_rules_in_force_go_through_the_worker_and_are_kept(own: House) -> None:
    config = CONFIG.format(own.model).replace("s: 90", "s: 90, scale_out_most: 50%, scale_in_most: 2, warm: 4")
    own.services.configuration.apply(config, AT)
    sent(own.services, 8, 10.0, model=own.model)
    own.services.catalog.findings.put(own.model, "capacity", AT, Capacity(0.11, 0.1, 0.13, "slo", (), True))
    assert Backtester().tick(own.services, AT)
    kept = own.services.catalog.findings.latest(own.model, BACKTEST, OwnBacktest)
    assert kept is not None and kept.finding.found is not None
    assert kept.finding.found.fleet.rules == AdviceRules(
        scale_out_most=StepLimit(share=0.5), scale_in_most=StepLimit(replicas=2), warm=4
    )
    answer = read(own)
    assert answer["notes"][-1].endswith("4 kept warm, out by 50% a minute at most, in by 2 a minute at most.")
    hours = {one["name"]: one["replica_hours"] for one in answer["policies"]}
    assert hours["seamark"] > 3.9 * 8 * 0.99  # one would carry 0.1 requests/s with room


@pytest.mark.slow
def test_a_worker_that_ends_without_an_answer_is_an_error(tmp_path: Path) -> None:
    trace, fleet = backtests.Trace(15.0, np.full(100, np.nan)), backtests.Fleet(1.0)
    with pytest.raises(SeamarkError, match=r"could not be made \(code 1\): ValueError"):
        playing.play(trace, fleet, cost_per_replica_hour=None, folder=tmp_path, timeout_s=60.0)


# --- asked wrongly ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, field",
    [
        ({"days": 0}, "days"),
        ({"days": 1e9}, "days"),
        ({"days": "14"}, "days"),
        ({"cold_start_s": -1}, "cold_start_s"),
        ({"cold_start_s": True}, "cold_start_s"),
        ({"capacity_rps": 0}, "capacity_rps"),
        ({"capacity_rps": 1e-300}, "capacity_rps"),
        ({"capacity_rps": 10**400}, "capacity_rps"),
        ({"capacity_rps": [1]}, "capacity_rps"),
        ({"capcity": 1}, "capcity"),
    ],
)
def test_what_is_no_question_is_refused_with_its_field(own: House, body: dict[str, object], field: str) -> None:
    answer = own.client.post(f"{own.place}/backtest", json=body)
    assert answer.status_code == 422 and [one["field"] for one in answer.json()["errors"]] == [field]


def test_bodies_that_are_none_and_models_without_autoscale(own: House) -> None:
    place = f"{own.place}/backtest"
    for body in (b"[]", b'{"capacity_rps": NaN}', b'{"capacity_rps": 1e999}', b"\xff"):
        assert own.client.post(place, content=body).status_code in (400, 422), body
    other = "/api/v1/models/nobody/backtest"
    for answer in (own.client.post(other, json={}), own.client.get(other)):
        assert answer.status_code == 404 and "no `autoscale:`" in answer.json()["detail"]
    assert "POST to this address" in own.client.get(place).json()["detail"]
    assert own.client.post(place).status_code == 202, "no body at all asks for the model as it is"
