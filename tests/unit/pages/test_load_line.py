"""The load line's places and words: what is unknown is never drawn, and never reads as zero."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sample_facts import AT, HOSTILE, ago, capacity, overview, recommendation, unknown

from seamark.core.advice import Forecast
from seamark.web.load_line import load_line


def percent(text: str | None) -> float:
    assert text is not None
    return float(text.removesuffix("%"))


def test_a_live_model_has_its_three_readings_in_order():
    line = load_line(overview("churn"))
    assert line.state == "live"
    assert (line.live_value, line.forecast_value, line.capacity_value) == ("82", "71–108", "96")
    assert line.capacity_words == "tested: 2 replicas × 48"
    assert line.band is not None
    assert percent(line.band.x) < percent(line.live_width) < percent(line.capacity_x)
    assert percent(line.capacity_x) + percent(line.capacity_beyond_width) == pytest.approx(100, abs=0.02)
    assert line.over_x is None
    assert "82 requests per second" in line.summary
    assert "safe capacity 96 requests per second" in line.summary


def test_load_over_the_capacity_is_told_apart_from_load_within_it():
    line = load_line(overview("churn", live_rps=120.0))
    assert line.live_width == line.capacity_x == line.over_x
    assert percent(line.over_width) > 0


@pytest.mark.parametrize(
    ("changes", "state", "live_value", "bar_words"),
    [
        ({"live_rps": 0.0}, "zero", "0", "0"),
        ({"liveness": "stale", "live_rps": None, "last_seen_at": ago(840)}, "stale", None, "last heard of 14 min ago"),
        ({"liveness": "live", "live_rps": None}, "unknown", None, "not measured yet"),
        ({"liveness": "live", "live_rps": math.nan}, "unknown", None, "not measured yet"),
        ({"liveness": "unknown", "live_rps": None, "last_seen_at": None}, "unknown", None, "nothing heard yet"),
        # A rate that stands beside silence is not believed: silence is not zero traffic, nor any other.
        ({"liveness": "stale", "live_rps": 12.0, "last_seen_at": ago(840)}, "stale", None, "last heard of 14 min ago"),
    ],
)
def test_zero_silent_and_unknown_differ(changes, state, live_value, bar_words):
    line = load_line(overview("churn", **changes))
    assert (line.state, line.live_value, line.bar_words) == (state, live_value, bar_words)
    assert (line.live_width is None) == (live_value is None)


def test_nothing_known_draws_nothing_and_says_why():
    line = load_line(unknown("upsell"))
    assert (line.ticks, line.live_width, line.band, line.capacity_x) == ((), None, None, None)
    assert line.forecast_words == "no forecast yet: too few points"
    assert line.capacity_words.startswith("not yet tested")
    assert "never heard of" in line.summary


@pytest.mark.parametrize(
    ("current", "value", "words"),
    [
        (None, "48", "tested for one replica; how many run is not known"),
        (0, "48", "tested for one replica; none runs"),
        (1, "48", "tested: 1 replica × 48"),
    ],
)
def test_capacity_is_of_the_replicas_that_run(current, value, words):
    line = load_line(overview("churn", recommendation=recommendation("churn", current=current)))
    assert (line.capacity_value, line.capacity_words) == (value, words)


def test_a_forecast_without_numbers_is_no_forecast():
    broken = Forecast(AT, 75.0, "ok", "x", None, None, math.inf)
    line = load_line(overview("churn", recommendation=recommendation("churn", forecast=broken)))
    assert line.band is None
    assert line.forecast_value is None


def test_a_capacity_that_is_no_number_is_not_drawn():
    line = load_line(overview("churn", capacity=replace(capacity(), low=math.nan)))
    assert line.capacity_x is None


def test_names_reach_the_summary_unchanged():
    assert HOSTILE in load_line(overview(HOSTILE)).summary  # escaping is the template's


amounts = st.floats(0, 1e9, allow_nan=False)


@example(live=0.0, per_replica=0.0, low=0.0, spread=5e-324, current=1)
@given(live=amounts, per_replica=amounts, low=amounts, spread=amounts, current=st.integers(1, 1000))
def test_every_place_lies_on_the_bar(live, per_replica, low, spread, current):
    forecast = Forecast(AT, 75.0, "ok", "x", low, low + spread / 2, low + spread)
    advice = recommendation("m", forecast=forecast, current=current)
    line = load_line(overview("m", live_rps=live, capacity=capacity(per_replica), recommendation=advice))
    assert line.band is not None
    places = [line.live_width, line.capacity_x, line.over_x, line.over_width, line.band.x, line.band.median_x]
    assert all(0 <= percent(place) <= 100 for place in places if place is not None)
    assert 2 <= len(line.ticks) <= 7
    assert line.ticks[-1].x == "100.00%"
