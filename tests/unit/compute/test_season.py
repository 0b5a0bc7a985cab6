"""Past days to the shape of these hours: what repeats is believed, what does not is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from seamark.compute.forecast import forecast
from seamark.compute.season import DAY_S, season
from seamark.core.advice import ArrivalHistory, Forecast

AT = datetime(2026, 3, 4, 8, 58, 30, tzinfo=UTC)
STEP_S = 600.0


def history(days: int, level: float = 1.0, *, at: datetime = AT, seed: int = 1) -> ArrivalHistory:
    """Every day 100 requests/s, and 300 from 9:00 until noon; each day has a level of its own."""
    rng = np.random.default_rng(seed)
    end = at.replace(minute=50, second=0)
    starts = [end - timedelta(seconds=STEP_S * ago) for ago in range(days * 144, 0, -1)]
    rates = np.array([300.0 if 9 <= start.hour < 12 else 100.0 for start in starts])
    levels = rng.uniform(0.7, 1.4, days + 2)
    return ArrivalHistory(end, STEP_S, rates * level * np.array([levels[(end.date() - s.date()).days] for s in starts]))


def calm(seed: int = 2, level: float = 100.0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(level * 10, 720) / 10.0


def advised(before: ArrivalHistory | None, at: datetime = AT, level: float = 100.0) -> Forecast:
    return forecast(calm(level=level), 10.0, 90.0, at, before)


def test_a_jump_at_the_same_time_of_each_day_is_met_before_it_comes() -> None:
    found = advised(history(9))
    assert found.method == "trend_and_season_of_day"
    assert found.p50 * found.season_rise == pytest.approx(300, rel=0.06)
    assert advised(None).p99 < 120


@pytest.mark.parametrize("at", [AT - timedelta(minutes=9), AT.replace(hour=12, minute=30), AT.replace(hour=4)])
def test_at_other_times_of_day_nothing_is_added(at: datetime) -> None:
    found = advised(history(9, at=at), at)
    assert found.season_rise == pytest.approx(1.0, abs=0.05) and found.p50 == pytest.approx(100, rel=0.05)


def test_a_fall_is_foreseen_in_the_quantiles_and_not_in_what_is_to_be_carried() -> None:
    at = AT.replace(hour=11)
    found = advised(history(9, at=at), at, level=300.0)
    assert found.p50 == pytest.approx(100, rel=0.06)
    assert found.p50 * found.season_rise == pytest.approx(300, rel=0.06)


def test_the_shape_is_of_the_hours_and_not_of_the_level() -> None:
    """History at a tenth of today's load foretells the same factor."""
    assert advised(history(9, 0.1)).p50 == pytest.approx(advised(history(9)).p50, rel=0.01)


@pytest.mark.parametrize("days, seen", [(0, False), (1, False), (2, False), (3, True)])
def test_with_few_days_there_is_no_season_and_no_failure(days: int, seen: bool) -> None:
    """The hours of two days before are known only when a little more than two days are."""
    assert advised(history(days)).method == ("trend_and_season_of_day" if seen else "trend")


def test_noise_is_no_season() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(40):
        before = ArrivalHistory(AT, STEP_S, rng.gamma(20, 5, 14 * 144))
        found = season(before, AT, 7200.0, 390.0)
        shares.append(0.0 if found is None else float(np.abs(found.values - 1).max()))
    assert np.median(shares) < 0.03 and max(shares) < 0.2  # a single day's steps are 22 % off


def test_what_comes_on_one_weekday_only_is_a_season_of_the_week() -> None:
    starts = [AT - timedelta(seconds=STEP_S * ago) for ago in range(28 * 144, 0, -1)]
    rates = np.array([300.0 if s.hour >= 9 and s.weekday() == AT.weekday() else 100.0 for s in starts])
    rates *= np.random.default_rng(4).gamma(400, 1 / 400, len(rates))
    before = ArrivalHistory(AT, STEP_S, rates)
    found = season(before, AT, 7200.0, 390.0)
    assert found is not None and (found.kind, found.days) == ("week", 3)
    assert found.at(np.array([700.0]))[0] == pytest.approx(3.0, rel=0.15)


def test_days_with_gaps_are_left_out() -> None:
    before = history(9)
    rates = before.rates.copy()
    rates[-144 * 3 - 3 : -144 * 3 + 3] = np.nan  # around this time, three days ago
    found = season(ArrivalHistory(before.end, STEP_S, rates), AT, 7200.0, 390.0)
    assert found is not None and found.days == season(before, AT, 7200.0, 390.0).days - 1
    assert season(ArrivalHistory(before.end, STEP_S, np.full(9 * 144, np.nan)), AT, 7200.0, 390.0) is None
    assert season(ArrivalHistory(before.end, STEP_S, np.zeros(9 * 144)), AT, 7200.0, 390.0) is None


@pytest.mark.parametrize("late", [timedelta(hours=5), timedelta(days=3), timedelta(days=60)])
def test_history_that_ends_long_ago_is_read_by_the_clock(late: timedelta) -> None:
    before = history(20)
    old = ArrivalHistory(before.end - late, STEP_S, before.rates)
    assert season(old, AT - late, 7200.0, 390.0) is not None
    found = season(ArrivalHistory(before.end - timedelta(days=3), STEP_S, before.rates[: -3 * 144]), AT, 7200.0, 390.0)
    assert found is not None and found.at(np.array([400.0]))[0] == pytest.approx(3.0, rel=0.05)
    assert (season(old, AT, 7200.0, 390.0) is None) == (late > timedelta(days=40))


def test_wild_history_gives_no_wild_number() -> None:
    rng = np.random.default_rng(6)
    wild = np.array([0.0, np.nan, np.inf, -5.0, 1e300, 1e-300, 100.0])
    for _ in range(300):
        count, step_s = (
            int(rng.integers(0, 3000)),
            float(rng.choice([0.0, -1.0, 7.0, 60.0, 600.0, 3600.0, 1e9, np.nan])),
        )
        rates = rng.choice(wild, count, p=[0.05, 0.02, 0.01, 0.01, 0.01, 0.01, 0.89])
        end = AT + timedelta(seconds=float(rng.uniform(-1e6, 1e6)))
        found = advised(ArrivalHistory(end, step_s, rates))
        assert found.state == "ok" and 0 <= found.p10 <= found.p50 <= found.p90 <= found.p99 < 100_000
        assert 1.0 <= found.season_rise < 1_000


def test_within_a_step_a_wave_is_smooth_and_a_jump_is_sharp() -> None:
    found = season(history(9), AT, 7200.0, 1800.0)
    nine = 90.0
    before, after = found.at(np.array([nine - 1.0, nine + 1.0]))
    assert after / before == pytest.approx(3.0, rel=0.05)
    angles = 2 * np.pi * np.arange(9 * 144) / 144
    wave = season(ArrivalHistory(AT, STEP_S, 100 + 50 * np.sin(angles)), AT, 7200.0, 1800.0)
    fine = wave.at(np.arange(-6000.0, 1500.0, 10.0))
    assert np.abs(np.diff(fine)).max() < 0.01 and DAY_S == 144 * STEP_S
