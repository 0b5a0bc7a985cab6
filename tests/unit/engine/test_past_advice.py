"""Past recommendations: the one that was in force at an instant, and a bounded list for plots."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from tests.house import AT, House

from seamark.core.advice import AdviceInput, Forecast, Recommendation
from seamark.engine.maintain import ADVICE_KEPT, ADVICE_KEPT_WHOLE, prune_catalog
from seamark.engine.services import Services

READ = AdviceInput("queue_length", "queue.length", "fresh", 12.0, AT)
COMING = Forecast(AT, 75.0, "ok", "level", 1.0, 2.0, 3.0, 4.0)
ADVICE = Recommendation("m", AT, "ok", 1, 1, 1, 20, "because", 60.0, 390.0, COMING, 0.5, inputs=(READ,))


def make(house: House, count: int, every_s: float = 10.0) -> None:
    for number in range(count):
        at = AT + timedelta(seconds=number * every_s)
        advice = replace(ADVICE, model=house.model, at=at, replicas=number + 1)
        house.services.catalog.findings.put(house.model, "recommendation", at, advice)


def at(seconds: float) -> str:
    return (AT + timedelta(seconds=seconds)).isoformat()


def replicas(house: House, seconds: float) -> int | None:
    answer = house.client.get(f"{house.place}/recommendation", params={"at": at(seconds)})
    return int(answer.json()["replicas"]) if answer.status_code == 200 else None


def test_the_newest_at_or_before_an_instant_is_given(house: House) -> None:
    make(house, 3)
    assert [replicas(house, s) for s in (-0.1, 0, 9.9, 10, 20, 86_400)] == [None, 1, 1, 2, 3, 3]


def test_it_is_given_as_it_was_made(house: House) -> None:
    make(house, 1)
    found = house.client.get(f"{house.place}/recommendation", params={"at": at(5)}).json()
    assert found["at"] == "2026-03-01T12:00:00Z"
    assert found["forecast"]["p90"] == 3.0
    [one] = found["inputs"]
    assert (one["name"], one["metric"], one["state"], one["value"]) == ("queue_length", "queue.length", "fresh", 12.0)


def test_none_by_then_is_a_problem_that_says_how_long_they_are_kept(house: House) -> None:
    make(house, 1)
    answer = house.client.get(f"{house.place}/recommendation", params={"at": at(-1)})
    assert answer.status_code == 404
    assert "kept for 14d" in answer.json()["detail"]
    assert house.client.get(f"{house.place}/recommendation", params={"at": "yesterday"}).status_code == 422


def test_after_a_day_one_in_ten_minutes_is_left(services: Services, client: httpx.Client) -> None:
    house = House(services, client, "thinned")
    make(house, 13, every_s=100.0)
    prune_catalog(services, AT + ADVICE_KEPT_WHOLE + timedelta(seconds=1150))
    window = {"start": at(0), "end": at(5000)}
    place = "/api/v1/models/thinned/recommendations"
    found = client.get(place, params=window).json()["recommendations"]
    assert [point["replicas"] for point in found] == [1, 7, 13]  # of 12:00, 12:10 and, younger than a day, 12:20


def test_what_is_pruned_is_gone(services: Services, client: httpx.Client) -> None:
    house = House(services, client, "org/old one")
    make(house, 2, every_s=600.0)
    prune_catalog(services, AT + ADVICE_KEPT + timedelta(seconds=5))
    place = f"/api/v1/models/{quote(house.model, safe='')}"
    assert client.get(f"{place}/recommendation", params={"at": at(5)}).status_code == 404
    [point] = client.get(f"{place}/recommendations", params={"start": at(0), "end": at(601)}).json()["recommendations"]
    assert point["replicas"] == 2


@pytest.mark.parametrize(
    "limit, shown",
    [(100, list(range(1, 11))), (10, list(range(1, 11))), (5, [2, 4, 6, 8, 10]), (3, [2, 6, 10]), (1, [10])],
)
def test_a_list_is_thinned_evenly_and_keeps_the_newest(house: House, limit: int, shown: list[int]) -> None:
    make(house, 10)
    window = {"start": at(0), "end": at(91), "limit": limit}
    found = house.client.get(f"{house.place}/recommendations", params=window).json()
    assert found["made"] == 10
    assert [point["replicas"] for point in found["recommendations"]] == shown


def test_a_list_holds_its_window_and_what_a_plot_shows(house: House) -> None:
    make(house, 5)
    window = {"start": at(10), "end": at(30)}
    found = house.client.get(f"{house.place}/recommendations", params=window).json()
    assert (found["model"], found["start"], found["end"]) == (
        house.model,
        "2026-03-01T12:00:10Z",
        "2026-03-01T12:00:30Z",
    )
    assert [point["replicas"] for point in found["recommendations"]] == [2, 3]
    assert found["recommendations"][0] == {
        "at": "2026-03-01T12:00:10Z",
        "state": "ok",
        "replicas": 2,
        "current": 1,
        "needed": None,
        "arrivals_rps": 390.0,
        "capacity_rps": 60.0,
        "headroom_ratio": 0.5,
        "reason": "because",
        "forecast_p50_rps": 2.0,
        "forecast_p90_rps": 3.0,
    }


def test_no_advice_is_an_empty_list_and_bounds_are_kept(house: House) -> None:
    assert house.client.get(f"{house.place}/recommendations").json()["recommendations"] == []
    for wrong in ({"limit": 0}, {"limit": 2_001}, {"start": at(10), "end": at(0)}, {"end": "never"}):
        assert house.client.get(f"{house.place}/recommendations", params=wrong).status_code == 422
