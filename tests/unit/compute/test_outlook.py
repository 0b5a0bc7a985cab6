"""Stored arrivals to the next hours: seasons, what lasts of today's distance from them, and honest gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from seamark.compute.outlook import outlook
from seamark.core.advice import ArrivalHistory

END = datetime(2026, 3, 2, tzinfo=UTC)


def weeks(count: int, seed: int = 1) -> np.ndarray:
    """Hourly counts: a wave by day, weekends at half, noise."""
    rng = np.random.default_rng(seed)
    hours = np.arange(count * 168)
    mean = 100 * (1 + 0.6 * np.sin(2 * np.pi * hours / 24)) * np.where(hours // 24 % 7 >= 5, 0.5, 1.0)
    return rng.poisson(mean * 4) / 4


def test_it_says_for_when_it_is_and_foresees_the_weekend() -> None:
    rates = weeks(6)
    now = 5 * 168 + 4 * 24 + 20  # Friday, 20:00
    found = outlook(ArrivalHistory(END, 3600.0, rates[:now]), 24)
    assert [one.at for one in found] == [END + timedelta(hours=hour) for hour in range(1, 25)]
    assert {one.method for one in found} == {"seasons_of_week"} and found[0].horizon_s == 3600.0
    assert found[15].p50 == pytest.approx(rates[now + 15], rel=0.25) and found[15].p50 < 95


@pytest.mark.slow
def test_quantiles_cover_what_they_say() -> None:
    rates, covered = weeks(20), []
    for now in range(6 * 168, 20 * 168 - 24, 11):
        found = outlook(ArrivalHistory(END, 3600.0, rates[now - 35 * 24 : now]), 6)[5]
        covered.append([rates[now + 5] <= one for one in (found.p10, found.p50, found.p90, found.p99)])
    assert np.abs(np.mean(covered, axis=0) - [0.1, 0.5, 0.9, 0.99]).max() < 0.06


def test_a_day_that_is_busier_than_others_stays_so_as_far_as_that_lasted_before() -> None:
    rates = weeks(8) * np.repeat(np.random.default_rng(2).uniform(0.5, 1.5, 56), 24)  # days of their own level
    now = 50 * 24 + 12
    rates[50 * 24 : now] = weeks(8)[50 * 24 : now] * 2
    found = outlook(ArrivalHistory(END, 3600.0, rates[:now]), 3)
    assert found[0].p50 > 1.4 * weeks(8)[now]


@pytest.mark.parametrize(
    "days, method", [(0, None), (2, "persistence"), (5, "seasons_of_day"), (25, "seasons_of_week")]
)
def test_it_falls_back_with_little_history(days: int, method: str | None) -> None:
    found = outlook(ArrivalHistory(END, 3600.0, weeks(6)[: days * 24]), 2)
    assert [one.state for one in found] == ["ok" if method else "too_few_points"] * 2
    assert {one.method for one in found} == {method or "none"}


def test_gaps_and_wild_numbers_are_left_out() -> None:
    rng = np.random.default_rng(3)
    rates = weeks(5)
    holed = np.where(rng.random(len(rates)) < 0.2, np.nan, rates)
    assert outlook(ArrivalHistory(END, 3600.0, holed), 1)[0].p50 == pytest.approx(
        outlook(ArrivalHistory(END, 3600.0, rates), 1)[0].p50, rel=0.2
    )
    for _ in range(60):
        count, step_s = int(rng.integers(0, 900)), float(rng.choice([0.0, -1.0, np.nan, 600.0, 3600.0, 1e9]))
        wild = rng.choice([0.0, np.nan, np.inf, -5.0, 1e300, 7.0, 9.0], count)
        for one in outlook(ArrivalHistory(END, step_s, wild), 5):
            if one.state == "ok":
                assert 0 <= one.p10 <= one.p50 <= one.p90 <= one.p99 < np.inf
