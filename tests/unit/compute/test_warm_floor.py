"""Bursts, what was ready for them and a price to replicas kept warm."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.compute.autoscale import UNDER_TO_OVER
from seamark.compute.warm_floor import warm_floor
from seamark.core.backtest import Fleet

FLEET = Fleet(capacity_rps=10.0, cold_start_s=60.0, max=100)
DAY = 5760


def bursts(count: int, need: float = 10.0, ticks: int = 8) -> np.ndarray:
    """One day of 15 s ticks at 20 requests/s, and bursts of two minutes."""
    rates = np.full(DAY, 20.0)
    for start in np.linspace(500, DAY - 500, count).astype(int):
        rates[start : start + ticks] = 10.0 * need
    return rates


READY = np.full(DAY, 3)


def test_bursts_that_are_frequent_enough_are_carried_and_priced() -> None:
    found = warm_floor(bursts(40), READY, FLEET, price=0.5)
    assert (found.state, found.replicas, found.bursts, found.carried) == ("ok", 10, 40, 40)
    assert found.minutes_with == 0 and found.minutes > 40 * 2
    assert found.replica_hours == pytest.approx(7 * 24) and found.cost == pytest.approx(7 * 24 / 2)
    for words in ("10 replicas kept warm carry 40 of 40 bursts", "168.0 replica-hours a day, which cost 84.00"):
        assert words in found.reason


def test_a_burst_a_day_is_not_worth_a_fleet_that_stands_by() -> None:
    found = warm_floor(bursts(1, ticks=2), READY, FLEET)
    missing = 7 * 4 * UNDER_TO_OVER  # seven too few, for two ticks and what waits after them, at their price
    assert missing < 7 * DAY
    assert (found.state, found.replicas, found.bursts, found.cost) == ("not_needed", None, 1, None)
    assert "no floor is worth its price" in found.reason and found.minutes == found.minutes_with > 0


def test_the_floor_is_the_cheapest_of_all() -> None:
    """Small bursts often, one huge: the floor is for the small ones."""
    rates = bursts(40, need=6)
    rates[3000:3004] = 900.0
    found = warm_floor(rates, READY, FLEET)
    assert found.replicas == 6 and found.carried == found.bursts - 1


def test_traffic_that_is_foreseen_needs_none() -> None:
    rates = 200 + 100 * np.sin(2 * np.pi * np.arange(DAY) / DAY)
    found = warm_floor(rates, np.ceil(rates / 10).astype(int), FLEET)
    assert (found.state, found.replicas, found.minutes, found.bursts) == ("not_needed", None, 0.0, 0)
    assert found.reason == "In 1.0 days no burst outran a start of 60 s."


@pytest.mark.parametrize("rps", [0.0, -1.0, float("nan"), float("inf")])
def test_without_a_capacity_or_enough_history_it_says_so(rps: float) -> None:
    assert warm_floor(bursts(9), READY, Fleet(rps)).state == "no_capacity"
    short = warm_floor(bursts(9)[:1000], READY[:1000], FLEET)
    assert short.state == "too_little_history" and short.replicas is None and "4.2 hours" in short.reason


@pytest.mark.parametrize("unknown", [np.nan, 0.0, 900.0])
def test_a_day_that_nobody_counted_is_no_day_without_bursts(unknown: float) -> None:
    known = warm_floor(bursts(40), READY, FLEET, price=0.5)
    rates = np.concatenate([bursts(40), np.full(DAY, unknown)])
    found = warm_floor(rates, np.tile(READY, 2), FLEET, counted=np.arange(2 * DAY) < DAY, price=0.5)
    assert found == known and found.days == 1
    few = warm_floor(rates, np.tile(READY, 2), FLEET, counted=np.arange(2 * DAY) < 1000)
    assert few.state == "too_little_history"
    if np.isnan(unknown):
        assert warm_floor(rates, np.tile(READY, 2), FLEET, price=0.5) == known


def test_what_waits_is_not_carried_over_a_hole() -> None:
    rates = np.full(2 * DAY, 29.0)
    rates[DAY - 4 : DAY] = 400.0  # then nobody counts for an hour; what waits takes hours to serve
    counted = np.ones(2 * DAY, np.bool_)
    counted[DAY : DAY + 240] = False
    found = warm_floor(rates, np.tile(READY, 2), FLEET, counted=counted)
    assert found.minutes == pytest.approx(1.0 / found.days)


@pytest.mark.slow
def test_wild_numbers_stay_within_the_bounds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        rates = rng.choice([0.0, np.nan, np.inf, -1.0, 1e300, 20.0, 35.0, 60.0], 2000)
        found = warm_floor(rates, rng.integers(0, 9, 2000), FLEET, price=1.0)
        assert found.replicas is None or 0 < found.replicas <= FLEET.max
        assert found.minutes >= found.minutes_with >= 0 and found.replica_hours >= 0
