"""A model's own history is read, played in a process of its own, kept, and gates its recommendation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import numpy as np
import pytest
from tests.house import AT
from tests.lake_rows import rows_of

from seamark.core.advice import AdviceGate, Recommendation
from seamark.core.errors import SeamarkError
from seamark.core.findings import Capacity
from seamark.core.own_backtest import BacktestAsked, OwnBacktest
from seamark.engine import backtests
from seamark.engine.advice import advise
from seamark.engine.advice_gate import BACKTEST, gate
from seamark.engine.backtests import Backtester
from seamark.engine.own_history import HeardDays, own_history, unheard_as_unknown
from seamark.engine.services import Services
from seamark.runner import backtest as playing

CONFIG = "models:\n  - name: churn\n    autoscale: {min: 1, max: 50, cost_per_replica_hour: 0.5, cold_start_s: 90}\n"
PLACE = "/api/v1/models/churn/backtest"


def sent(
    services: Services, hours: float, every_s: float, *, model: str = "churn", until_h: float = 0.0, **fields: object
) -> None:
    """Requests in even steps, the last of them `until_h` hours ago."""
    count = round((hours - until_h) * 3600 / every_s)
    end = AT - timedelta(hours=until_h)
    rows = [{"model": model, "start_at": end - timedelta(seconds=(n + 0.5) * every_s), **fields} for n in range(count)]
    services.lake.append({"spans": rows_of("spans", rows)})


def post(client: httpx.Client, code: int = 202, **body: object) -> httpx.Response:
    answer = client.post(PLACE, json=body)
    assert answer.status_code == code, answer.text
    return answer


@pytest.fixture
def asked(services: Services, client: httpx.Client) -> httpx.Client:
    """A model with eight hours of a request each 10 s, whose backtest waits."""
    services.configuration.apply(CONFIG, AT)
    sent(services, 8, 10.0)
    post(client, capacity_rps=0.02)
    return client


# --- its history ------------------------------------------------------------------------------------------------------


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
    assert np.isnan(found.rates).sum() == 240 and np.isnan(found.rates[4 * 240 : 5 * 240]).all()
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


# --- played, kept, told -----------------------------------------------------------------------------------------------


def test_it_is_asked_for_played_and_read(services: Services, asked: httpx.Client) -> None:
    answer = asked.get(PLACE)
    assert (answer.status_code, "being played" in answer.json()["detail"]) == (404, True)
    assert Backtester().tick(services, AT)
    found = asked.get(PLACE).json()
    assert (found["state"], found["what_if"], found["waiting"]) == ("played", True, None)
    assert [one["name"] for one in found["policies"]][:2] == ["seamark", "hpa"]
    assert all(one["cost"] == pytest.approx(one["replica_hours"] / 2) for one in found["policies"])
    assert (found["capacity_rps"], found["capacity_source"]) == (0.02, "asked")
    assert (found["cold_start_s"], found["cold_start_source"]) == (90.0, "seamark.yaml")
    assert (found["min"], found["max"], found["days_asked"]) == (1, 50, 14.0)
    assert found["days"] == pytest.approx(1 / 3, rel=0.01) and found["reason"] == found["verdict"]
    assert found["gate"]["state"] in ("recommended", "weigh", "not_recommended")
    assert found["window"]["end"] == "2026-03-01T11:59:00Z" and found["cpu_s"] > 0
    assert gate(services, "churn", AT).state == "unknown"  # a what-if moves no gate


def test_the_gate_goes_with_the_recommendation_and_is_kept_with_it(services: Services, client: httpx.Client) -> None:
    services.configuration.apply(CONFIG, AT)
    sent(services, 8, 10.0)
    services.catalog.findings.put("churn", "capacity", AT, Capacity(0.022, 0.02, 0.03, "slo", (), True))
    spec = services.configuration.model("churn")
    assert spec is not None
    advise(services, spec, AT)
    first = client.get("/api/v1/models/churn/recommendation").json()["gate"]
    assert first == {"state": "unknown", "sentence": "Not backtested yet on this model's own history.", "at": None}
    assert Backtester().tick(services, AT)  # its daily turn
    later = AT + timedelta(seconds=10)
    advise(services, spec, later)
    found = services.catalog.findings.latest("churn", "recommendation", Recommendation)
    assert found is not None and found.finding.gate is not None
    told = client.get(PLACE).json()
    assert (told["what_if"], told["asked_at"], told["capacity_source"]) == (False, None, "load_test")
    assert found.finding.gate.sentence == told["gate"]["sentence"] and "0.3 days" in told["gate"]["sentence"]
    assert gate(services, "churn", AT + timedelta(days=8)).state == "unknown"


def test_holes_are_told(services: Services, client: httpx.Client) -> None:
    services.configuration.apply(CONFIG, AT)
    sent(services, 12, 10.0, until_h=3)
    sent(services, 2, 10.0)
    post(client, capacity_rps=0.02)
    Backtester().tick(services, AT)
    found = client.get(PLACE).json()
    assert found["days"] == pytest.approx((9 + 2 - 1 / 60) / 24, rel=0.01)
    assert found["notes"] == [
        "1 hole without telemetry, the longest of 1h, bridged in a straight line.",
        "1h of them are in no figure: holes of more than five minutes are only played.",
    ]


@pytest.mark.parametrize(
    "hours, body, state, words",
    [
        (0.0, {"capacity_rps": 1.0}, "too_little_history", "No requests of this model are in the lake"),
        (
            3.0,
            {"capacity_rps": 1.0},
            "too_little_history",
            "2h59m of this model's arrivals are known; a backtest needs 6h",
        ),
        (7.0, {}, "no_capacity", "What one replica carries is not known"),
        (7.0, {"capacity_rps": 1e-6}, "refused", "capacity_rps 1e-06 is impossible here"),
    ],
)
def test_what_cannot_be_played_is_told_and_leaves_the_gate_unknown(
    services: Services, client: httpx.Client, hours: float, body: dict[str, float], state: str, words: str
) -> None:
    services.configuration.apply(CONFIG, AT)
    if hours:
        sent(services, hours, 10.0)
    post(client, **body)
    assert Backtester().tick(services, AT)
    found = client.get(PLACE).json()
    assert found["state"] == state and words in found["reason"] and "policies" not in found
    assert found["gate"]["state"] == "unknown" and found["gate"]["sentence"] == found["reason"]


def test_half_a_history_of_holes_is_too_little(services: Services, client: httpx.Client) -> None:
    services.configuration.apply(CONFIG, AT)
    sent(services, 40, 10.0, until_h=36)
    sent(services, 4, 10.0)
    post(client, capacity_rps=0.02)
    Backtester().tick(services, AT)
    found = client.get(PLACE).json()
    assert found["state"] == "too_little_history" and "at least half is needed" in found["reason"]


# --- when -------------------------------------------------------------------------------------------------------------


def kept(at_h: float, state: str = "played", model: str = "churn") -> tuple[str, OwnBacktest]:
    at = AT + timedelta(hours=at_h)
    return model, OwnBacktest(model, at, backtests.OwnState(state), "r", 14.0, AdviceGate("weigh", "s", at))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def play(services: Services, spec, at, asked, heard, stopping) -> OwnBacktest:  # type: ignore[no-untyped-def]
        names.append(spec.name)
        one = kept((at - AT).total_seconds() / 3600, model=spec.name)[1]
        return replace(one, asked_at=asked.at if asked else None, what_if=asked is not None and asked.what_if)

    monkeypatch.setattr(backtests, "play", play)
    return names


def test_each_model_has_its_turn_once_a_day_and_what_is_asked_for_comes_first(
    services: Services, made: list[str]
) -> None:
    names = ("a", "b", "c")
    listed = "".join(f"  - name: {name}\n    autoscale: {{max: 5}}\n" for name in names)
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


def test_one_that_could_not_be_played_is_tried_again_in_an_hour(services: Services, made: list[str]) -> None:
    services.configuration.apply(CONFIG, AT)
    name, failed = kept(0.0, "too_little_history")
    services.catalog.findings.put(name, BACKTEST, failed.at, failed, replace=True)
    assert not Backtester().tick(services, AT + timedelta(minutes=59))
    assert Backtester().tick(services, AT + timedelta(minutes=61)) and made == ["churn"]


def test_a_failure_is_kept_and_an_interruption_leaves_the_question(
    services: Services, asked: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Backtester().tick(services, AT, stopping=lambda: True)
    assert asked.get(PLACE).status_code == 404 and backtests.waiting(services, "churn") is not None

    def fail(*_: object, **__: object) -> None:
        raise SeamarkError("it said nothing")

    monkeypatch.setattr(playing, "play", fail)
    assert Backtester().tick(services, AT)
    found = asked.get(PLACE).json()
    assert (found["state"], found["reason"]) == ("failed", "The backtest failed: it said nothing.")
    assert backtests.waiting(services, "churn") is None


def test_a_worker_that_ends_without_an_answer_is_an_error(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, fleet = backtests.Trace(15.0, np.full(100, np.nan)), backtests.Fleet(1.0)
    with pytest.raises(SeamarkError, match=r"could not be played \(code 1\): ValueError"):
        playing.play(trace, fleet, cost_per_replica_hour=None, folder=services.data_dir, timeout_s=60.0)


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
def test_what_is_no_question_is_refused_with_its_field(
    house: object, shared: tuple[Services, httpx.Client], body: dict[str, object], field: str
) -> None:
    services, client = shared
    services.configuration.apply(CONFIG, AT)
    answer = client.post(PLACE, json=body)
    assert answer.status_code == 422 and [one["field"] for one in answer.json()["errors"]] == [field]


def test_bodies_that_are_none_and_models_without_autoscale(shared: tuple[Services, httpx.Client]) -> None:
    services, client = shared
    services.configuration.apply(CONFIG, AT)
    for body in (b"", b"[]", b'{"capacity_rps": NaN}', b'{"capacity_rps": 1e999}', b"\xff"):
        assert client.post(PLACE, content=body).status_code in (400, 422), body
    for answer in (
        client.post(PLACE.replace("churn", "nobody"), json={}),
        client.get(PLACE.replace("churn", "nobody")),
    ):
        assert answer.status_code == 404 and "no `autoscale:`" in answer.json()["detail"]
    assert "POST to this address" in client.get(PLACE).json()["detail"]
