"""Kept recommendations: short, whole when shown, and made again from themselves alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from tests.house import AT, House

from seamark.cli import main
from seamark.compute.autoscale import recommend
from seamark.core.advice import (
    AdviceGate,
    AdviceInput,
    Forecast,
    PastAdvice,
    Recommendation,
    ReplicaCapacity,
    WarmFloor,
)
from seamark.core.findings import to_document
from seamark.core.own_backtest import BacktestSays, OwnBacktest, OwnState
from seamark.core.specs import AutoscaleSpec, StepLimit
from seamark.engine import advice_store
from seamark.engine.advice_gate import BACKTEST, SAYS
from seamark.engine.advice_inputs import ESTIMATED, IN_SERVER
from seamark.engine.maintain import ADVICE_KEPT_WHOLE, prune_catalog

GATE = AdviceGate("recommended", "Cheaper than the HPA and safer. Played on 14.0 days of its own arrivals.", AT)
FLOOR = WarmFloor("ok", 14.0, 6, 41, 38, 9.2, 0.4, 31.0, 13.95, "6 replicas kept warm carry 38 of 41 bursts.", AT)
SPEC = AutoscaleSpec(1, 40, scale_out_most=StepLimit(replicas=2), scale_in_most=StepLimit(replicas=1), warm_auto=True)
INPUTS = (
    AdviceInput("in_flight", None, "fresh", 61.8, AT, "spans", "requests", note=ESTIMATED),
    AdviceInput("service_time", None, "fresh", 0.15, AT, "spans", "s", note=IN_SERVER),
    AdviceInput("service_time_cv", None, "unknown", source="spans"),
    AdviceInput("capacity", None, "stale", 10.0, AT, "load_test", "requests/s", note="measured 40d ago; test again"),
)
COMING = Forecast(AT, 75.0, "ok", "level", 40.0, 50.0, 60.0, 70.0)


def made(model: str, seconds: float, rps: float, recent: Sequence[PastAdvice]) -> Recommendation:
    advice = recommend(
        model,
        AT + timedelta(seconds=seconds),
        SPEC,
        arrivals_rps_last_minute=rps,
        forecast=COMING,
        capacity=ReplicaCapacity(10.0),
        current=5,
        recent=recent,
        inputs=INPUTS,
        warm_floor=FLOOR,
    )
    return replace(advice, gate=GATE)


def kept(house: House, rates: Sequence[float], every_s: float = 10.0) -> list[Recommendation]:
    """Give and keep advice for each rate, one after the other, as the service does."""
    house.services.catalog.findings.put(house.model, SAYS, AT, BacktestSays(GATE, FLOOR))
    found = []
    for place, rps in enumerate(rates):
        at = AT + timedelta(seconds=place * every_s)
        advice = made(house.model, place * every_s, rps, advice_store.recent(house.services, house.model, at))
        advice_store.keep(house.services, advice)
        found.append(advice)
    return found


def stored(house: House, at: datetime) -> Recommendation:
    found = house.services.catalog.findings.history(house.model, "recommendation", Recommendation, until=at, limit=1)
    return found[0].finding


def as_json(advice: Recommendation) -> object:
    return json.loads(json.dumps(to_document(advice)))


def asked(house: House, *words: str) -> Result:
    return CliRunner().invoke(
        main, ["autoscale", "replay", house.model, *words, "--url", str(house.client.base_url)], catch_exceptions=False
    )


@pytest.mark.slow
def test_decisions_that_were_thinned_are_made_again(house: House) -> None:
    advice = kept(house, [50.0 + 30.0 * (place % 7) for place in range(62)])[:61]
    prune_catalog(house.services, AT + ADVICE_KEPT_WHOLE + timedelta(seconds=620))
    left = house.services.catalog.findings.history(house.model, "recommendation", Recommendation)
    assert [one.at for one in left] == [advice[60].at, AT]  # the advice that they went by is gone
    for one in (advice[0], advice[60]):
        at = one.at.isoformat()
        found = house.client.get(f"{house.place}/recommendation/replay", params={"at": at}).json()
        assert found["stored"] == found["again"] == as_json(one)
        assert found["departures"] == []
        result = asked(house, "--at", at)
        assert (result.exit_code, "same" in result.output) == (0, True), result.output
    assert len(advice[60].before or ()) > 1


def test_what_was_changed_departs_and_is_shown(house: House) -> None:
    [advice] = kept(house, [200.0])
    later = replace(advice, at=AT + timedelta(seconds=10), replicas=39, before=())
    advice_store.keep(house.services, later)
    house.services.clock.advance(20)  # type: ignore[attr-defined]
    found = house.client.get(f"{house.place}/recommendation/replay").json()
    assert "replicas" in found["departures"] and found["again"]["replicas"] == advice.replicas
    result = asked(house)
    assert result.exit_code == 1
    assert f"replicas: stored 39, made again {advice.replicas}" in result.output


def test_what_an_older_version_stored_is_read_and_not_known_to_be_the_same(house: House) -> None:
    document = to_document(made(house.model, 0.0, 200.0, ()))
    del document["before"]
    house.services.catalog.findings.put(house.model, "recommendation", AT, document)
    found = house.client.get(f"{house.place}/recommendation/replay").json()
    assert (found["again"], found["departures"], found["stored"]["gate"]) == (None, None, to_document(GATE))
    assert asked(house).exit_code == 3


def test_none_by_then_is_a_problem_and_so_is_no_instant(house: House) -> None:
    kept(house, [200.0])
    for words, code in (("2020-01-01T00:00:00Z", 2), ("yesterday", 2)):
        assert asked(house, "--at", words).exit_code == code
    assert house.client.get("/api/v1/models/nobody/recommendation/replay").status_code == 404


def test_it_is_kept_short_and_shown_whole(house: House) -> None:
    advice = kept(house, [200.0] * 5)[-1]
    short = stored(house, advice.at)
    assert short.gate is not None and short.gate.sentence == ""
    assert advice_store.whole(house.services, short) == advice
    assert to_document(advice_store.whole(house.services, short)) == to_document(advice)
    found = house.client.get(f"{house.place}/recommendation", params={"at": advice.at.isoformat()}).json()
    assert found == as_json(advice)
    assert len(json.dumps(to_document(advice))) > 1.4 * len(json.dumps(lies(house)))


def lies(house: House) -> object:
    """The newest document as it lies in the catalog."""
    found = house.services.catalog.findings.latest(house.model, "recommendation", dict)
    assert found is not None
    return found.finding


def test_each_has_the_sentence_of_its_own_backtest(house: House) -> None:
    [first] = kept(house, [200.0])
    day = AT + timedelta(days=1)
    newer = AdviceGate("weigh", "Cheaper, and less safe.", day)
    house.services.catalog.findings.put(house.model, SAYS, day, BacktestSays(newer, None))
    second = replace(first, at=day + timedelta(seconds=10), gate=newer, warm_floor=None)
    advice_store.keep(house.services, second)
    for one in (first, second):
        assert advice_store.whole(house.services, stored(house, one.at)) == one


def test_an_upgraded_catalog_has_the_last_backtest_alone(house: House) -> None:
    advice = made(house.model, 0.0, 200.0, ())
    advice_store.keep(house.services, advice)
    lost = advice_store.whole(house.services, stored(house, AT))
    assert lost.gate == replace(GATE, sentence=advice_store.LOST)
    assert lost.warm_floor is not None and lost.warm_floor.replicas == FLOOR.replicas
    last = OwnBacktest(house.model, AT, OwnState.PLAYED, "", 14.0, GATE, warm_floor=FLOOR)
    house.services.catalog.findings.put(house.model, BACKTEST, AT, last, replace=True)
    assert advice_store.whole(house.services, stored(house, AT)) == advice


def test_what_is_read_lightly_is_what_was_kept(house: House) -> None:
    advice = kept(house, [50.0, 500.0, 20.0, 90.0])
    found = advice_store.recent(house.services, house.model, AT + timedelta(seconds=310))
    assert found == [PastAdvice(one.at, one.state, one.replicas, one.needed) for one in advice[:0:-1]]
