"""Durations as people write them, and windows of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.windows import Window, format_duration, parse_duration


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("0s", 0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5m!", "1h 30m", "5M", "1e3s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write a number and a unit, like 30s"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_whole_seconds_come_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(1, 999))
def test_milliseconds_come_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    "seconds, text",
    [(5400, "1h30m"), (86_400, "1d"), (0.25, "250ms"), (61, "1m1s"), (0, "0ms"), (90_061.5, "1d1h1m1.5s")],
)
def test_the_shortest_way_to_write_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_trailing_window_ends_where_it_is_told() -> None:
    end = datetime(2026, 3, 1, tzinfo=UTC)
    window = Window.trailing(end, 90.0)
    assert (window.start, window.end, window.span_s) == (end - timedelta(seconds=90), end, 90.0)
