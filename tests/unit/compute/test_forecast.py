"""Arrivals so far to quantiles of what comes; their coverage is measured on traffic of known make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from seamark.compute.forecast import POINTS_MIN, _quantiles, forecast

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_it_says_for_when_it_is() -> None:
    found = forecast(np.full(60, 5.0), 10.0, 75.0, AT)
    assert (found.at, found.horizon_s, found.state, found.method) == (
        AT + timedelta(seconds=75),
        75.0,
        "ok",
        "trend",
    )
    assert (found.p10, found.p50, found.p90, found.p99) == pytest.approx((5, 5, 5, 5))


@pytest.mark.parametrize("horizon_s, steps", [(10.0, 1), (75.0, 8), (0.0, 1)])
def test_too_few_points_are_a_state(horizon_s: float, steps: int) -> None:
    enough = POINTS_MIN + steps
    assert forecast(np.ones(enough), 10.0, horizon_s, AT).state == "ok"
    found = forecast(np.ones(enough - 1), 10.0, horizon_s, AT)
    assert found.state == "too_few_points" and found.p50 is found.p90 is None
    assert forecast(np.empty(0), 10.0, horizon_s, AT).state == "too_few_points"


def test_quantiles_rise_and_are_never_negative() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        found = forecast(rng.exponential(3, 40) * (rng.random(40) < 0.4), 10.0, 60.0, AT)
        assert 0 <= found.p10 <= found.p50 <= found.p90 <= found.p99


def test_a_value_that_is_no_number_is_no_basis() -> None:
    assert forecast(np.array([1.0] * 30 + [np.nan]), 10.0, 30.0, AT).state == "too_few_points"


def coverage(series: np.ndarray, starts: range, history: int, steps: int, step_s: float) -> dict[str, float]:
    below = {"p10": 0, "p50": 0, "p90": 0, "p99": 0}
    for start in starts:
        now = start + history
        found = forecast(series[start:now], step_s, steps * step_s, AT)
        for name in below:
            below[name] += series[now + steps - 1] <= getattr(found, name)
    return {name: count / len(starts) for name, count in below.items()}


def test_of_even_poisson_traffic_the_quantiles_cover_what_they_say() -> None:
    rng = np.random.default_rng(2)
    series = rng.poisson(300, 4000) / 10.0
    covered = coverage(series, range(0, 3500, 7), 360, 8, 10.0)
    assert covered["p10"] == pytest.approx(0.1, abs=0.06)
    assert covered["p50"] == pytest.approx(0.5, abs=0.08)
    assert covered["p90"] == pytest.approx(0.9, abs=0.06)
    assert covered["p99"] >= 0.96


def test_of_wandering_traffic_too() -> None:
    rng = np.random.default_rng(3)
    series = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, 6000)) * 0.3)
    covered = coverage(series, range(0, 5500, 11), 360, 8, 10.0)
    assert 0.82 <= covered["p90"] <= 0.96 and covered["p99"] >= 0.93


def test_two_days_of_a_daily_wave_are_enough_to_see_it_come() -> None:
    rng = np.random.default_rng(4)
    step_s, day = 600.0, 144
    wave = 100 + 80 * np.sin(2 * np.pi * np.arange(5 * day) / day)
    series = rng.poisson(wave * step_s) / step_s
    now = 2 * day + 100 + 6
    found = forecast(series[:now], step_s, 6 * step_s, AT)
    assert found.method == "seasonal_naive"
    assert found.p50 == pytest.approx(wave[now + 5], rel=0.1)
    covered = coverage(series, range(0, 2 * day, 5), 2 * day + 20, 6, step_s)
    assert 0.8 <= covered["p90"] <= 1.0


def test_a_rise_is_carried_on_and_a_fall_is_not() -> None:
    rates = np.concatenate([np.full(300, 100.0), 100 + 2.0 * np.arange(1, 31)])
    rising = forecast(rates, 10.0, 90.0, AT)
    assert rising.p50 > 165 and rising.p99 > 174  # it stands at 160 and will be at 178
    falling = forecast(rates[::-1], 10.0, 90.0, AT)
    assert falling.p50 == pytest.approx(100, rel=0.1)
    spike = np.concatenate([np.full(300, 1.0), np.full(3, 1000.0)])
    assert forecast(spike, 10.0, 3600 / 4, AT).p50 < 4 * 1000  # no trend goes on for ever


def test_traffic_that_stops_and_starts_has_quantiles_of_its_own_size() -> None:
    rng = np.random.default_rng(8)
    found = forecast(rng.exponential(3, 360) * (rng.random(360) < 0.2), 10.0, 90.0, AT)
    assert 0 <= found.p50 <= found.p99 < 40


def test_history_that_repeats_nothing_stays_with_persistence() -> None:
    rng = np.random.default_rng(5)
    wandering = 1000 + np.cumsum(rng.normal(0, 1, 600))
    assert forecast(wandering, 600.0, 600.0, AT).method == "persistence"


def test_a_horizon_beyond_a_day_or_steps_of_a_day_are_no_trouble() -> None:
    series = np.random.default_rng(6).poisson(50, 500).astype(float)
    assert forecast(series, 3600.0, 30 * 3600.0, AT).state == "ok"
    assert forecast(series, 2 * 86_400.0, 86_400.0, AT).state == "ok"


@pytest.mark.parametrize("wild", [np.nan, np.inf, -1.0, 1e300])
def test_what_is_no_rate_is_no_basis(wild: float) -> None:
    rates = np.full(200, 5.0)
    rates[90] = wild
    assert forecast(rates, 10.0, 75.0, AT).state == "too_few_points"


def test_a_burst_out_of_nothing_is_not_foreseen_to_grow_as_the_quiet_before_it_did() -> None:
    """Errors in shares of the level asked here for many times what ever came."""
    rng = np.random.default_rng(9)
    rates = np.where(np.arange(720) % 90 >= 80, 300.0, 5.0) * rng.gamma(30, 1 / 30, 720)
    for now in range(400, 720, 7):
        assert forecast(rates[:now], 10.0, 90.0, AT).p99 < 2.5 * rates[:now].max()


def test_quantiles_are_numpys() -> None:
    rng = np.random.default_rng(10)
    for count in (1, 2, 12, 99, 480):
        changes = rng.normal(size=count)
        more = (count + 1) / count
        ranks = (max(1 - 0.9 * more, 0), 0.5, min(0.9 * more, 1), min(0.99 * more, 1))
        assert _quantiles(changes) == pytest.approx(tuple(np.quantile(changes, ranks)), abs=1e-12)
