"""When a growing load crosses a line: found where there is a trend, never told where there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.compute.growth import TOLD_AHEAD_DAYS, daily_peaks, growth
from seamark.core.advice import ArrivalHistory

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP_S = 600.0
DAY = 144


def history(peaks, seed=1, noise=0.02):
    """Days of a wave whose peaks are these."""
    rng = np.random.default_rng(seed)
    wave = 0.55 + 0.45 * np.sin(np.arange(DAY) / DAY * 2 * np.pi)
    rates = np.concatenate([peak * wave * (1 + noise * rng.standard_normal(DAY)) for peak in peaks])
    return ArrivalHistory(AT, STEP_S, np.maximum(rates, 0.0))


def line(rps, replicas=2):
    return [("current", replicas, rps)]


def test_a_steady_growth_is_found_with_its_date():
    found = growth(history([100 + 2 * day for day in range(35)]), AT, line(220.0))
    assert found.state == "ok" and found.days == 35 and found.season_days == 7
    assert found.rps_per_day == pytest.approx(2.0, abs=0.15)
    assert found.low <= 2.0 <= found.high
    [one] = found.crossings
    assert one.state == "ahead"
    assert (one.at - AT).days == pytest.approx((220 - 170) / 2, abs=5)
    assert one.earliest <= one.at <= one.latest


def test_a_weekend_is_no_decline_and_an_outage_or_a_campaign_no_trend():
    weeks = [100.0, 100, 100, 100, 100, 40, 40] * 4
    found = growth(history(weeks, noise=0.01), AT, line(500.0))
    assert abs(found.rps_per_day) < 0.2
    assert found.peak_rps == pytest.approx(100, rel=0.1)
    spoiled = list(weeks)
    spoiled[3], spoiled[17] = 900.0, 1.0
    assert abs(growth(history(spoiled, noise=0.01), AT, line(500.0)).rps_per_day) < 0.4


def test_what_does_not_grow_has_no_date():
    found = growth(history([100 - day for day in range(28)]), AT, line(300.0))
    assert found.high < 0
    [one] = found.crossings
    assert (one.state, one.at, one.earliest, one.latest) == ("not_at_this_growth", None, None, None)


def test_a_line_that_is_crossed_needs_no_date():
    [one] = growth(history([100.0] * 14), AT, line(60.0)).crossings
    assert (one.state, one.at) == ("crossed", None)


def test_what_is_too_far_off_is_not_told():
    slow = growth(history([100 + 0.05 * day for day in range(28)], noise=0.0), AT, line(10_000.0))
    [one] = slow.crossings
    assert one.state == "not_at_this_growth"


@pytest.mark.parametrize("days", [0, 1, 6])
def test_a_few_days_are_too_little(days):
    found = growth(history([100.0] * days) if days else ArrivalHistory(AT, STEP_S, np.empty(0)), AT, line(120.0))
    assert (found.state, found.days, found.days_needed, found.crossings) == ("too_little_history", days, 7, ())
    assert found.rps_per_day is None


def test_seven_days_are_enough_and_days_with_holes_do_not_count():
    seven = history([100 + 5 * day for day in range(7)])
    assert growth(seven, AT, line(400.0)).state == "ok"
    rates = seven.rates.copy()
    rates[2 * DAY : 2 * DAY + 40] = np.nan  # over a fifth of the third day
    assert growth(ArrivalHistory(AT, STEP_S, rates), AT, line(400.0)).state == "too_little_history"
    rates[:] = np.nan
    assert growth(ArrivalHistory(AT, STEP_S, rates), AT, line(400.0)).days == 0


@pytest.mark.parametrize("days", range(7, 36))
def test_a_steady_rise_is_told_with_every_number_of_days(days):
    found = growth(history([100 + 5.0 * day for day in range(days)], noise=0.01), AT, line(900.0))
    assert (found.state, found.season_days) == ("ok", 7 if days >= 15 else 1)
    assert found.low <= found.rps_per_day <= found.high and found.rps_per_day == pytest.approx(5, abs=0.5)


def test_days_are_counted_back_from_the_end():
    rates = np.concatenate([np.full(50, 999.0), history([10.0, 20.0]).rates])
    back, peaks = daily_peaks(ArrivalHistory(AT, STEP_S, rates))
    assert back.tolist() == [-1.5, -0.5]
    assert peaks == pytest.approx([10, 20], rel=0.1)


def test_the_interval_holds_the_true_slope_as_often_as_it_says():
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        peaks = [100 + 1.0 * day + 6 * rng.standard_normal() for day in range(28)]
        found = growth(history(peaks, seed, noise=0.0), AT, line(500.0))
        held += found.low <= 1.0 <= found.high
    assert held >= 54


@given(
    rates=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=9 * 24),
    rps=st.floats(allow_nan=True, allow_infinity=True),
    step_s=st.sampled_from([3600.0, 600.0, 86_400.0, 0.0]),
)
def test_no_history_and_no_line_makes_a_wild_answer(rates, rps, step_s):
    found = growth(ArrivalHistory(AT, step_s, np.array(rates, dtype=np.float64)), AT, line(rps))
    for one in found.crossings:
        assert one.state in ("crossed", "ahead", "not_at_this_growth")
        for instant in (one.at, one.earliest, one.latest):
            assert instant is None or AT <= instant <= AT + timedelta(days=TOLD_AHEAD_DAYS)
