"""The small language of limits: what is written comes back, what is wrong is named."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.thresholds import DISTRIBUTIONS, MORE_IS_BETTER, NUMBERS, SHARES, Threshold, parse_threshold

aggregates = st.sampled_from(["p50", "p95", "p99", "p99.9", "max", "mean"])
measures = st.one_of(
    st.tuples(st.sampled_from(DISTRIBUTIONS), aggregates), st.tuples(st.sampled_from(NUMBERS), st.none())
)


@given(measures, st.booleans(), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 10.0, 5400.0]))
def test_what_is_written_is_read_again(
    measure: tuple[str, str | None], or_equal: bool, limit: int, hold_s: float
) -> None:
    operator = ("<" if measure[0] in MORE_IS_BETTER else ">") + ("=" if or_equal else "")
    limit = limit % 1001 if measure[0] in SHARES else limit
    threshold = Threshold(measure[0], measure[1], operator, limit / 1000, hold_s)
    again = parse_threshold(str(threshold), with_hold=True)
    assert str(again) == str(threshold)
    assert (again.metric, again.aggregate, again.operator, again.hold_s) == (*measure, operator, hold_s)
    assert again.limit == pytest.approx(threshold.limit, rel=1e-5)


@pytest.mark.parametrize(
    "text, quantile, measure",
    [
        ("p95(latency_ms) < 250", 0.95, "p95(latency_ms)"),
        ("  p99.9 ( service_latency_ms )<=1e3 ", 0.999, "p99.9(service_latency_ms)"),
        ("max(lateness_ms) <= 5", None, "max(lateness_ms)"),
        ("mean(latency_ms) < 5", None, "mean(latency_ms)"),
        ("error_ratio<0.01", None, "error_ratio"),
    ],
)
def test_parts_are_told(text: str, quantile: float | None, measure: str) -> None:
    threshold = parse_threshold(text)
    assert threshold.quantile == (pytest.approx(quantile) if quantile else None) and threshold.measure == measure


@pytest.mark.parametrize(
    "operator, at, below, above",
    [("<", False, True, False), ("<=", True, True, False), (">", False, False, True), (">=", True, False, True)],
)
def test_operators_mean_what_they_look_like(operator: str, at: bool, below: bool, above: bool) -> None:
    threshold = parse_threshold(f"requests {operator} 0.5")
    assert (threshold.holds(0.5), threshold.holds(0.4), threshold.holds(0.6)) == (at, below, above)
    assert not threshold.holds(float("nan"))


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is not a threshold"),
        ("p95(latency_ms)", "is not a threshold"),
        ("p95(latency_ms) = 5", "is not a threshold"),
        ("p95(latency_ms) < -5", "is not a threshold"),
        ("p95(latency_ms) < nan", "is not a threshold"),
        ("latency_ms < 5", "say which part of it"),
        ("p95(error_ratio) < 5", "single number"),
        ("max(error_ratio) < 5", "single number"),
        ("p95(cost) < 5", "'cost' is not a metric"),
        ("cpu < 5", "'cpu' is not a metric"),
        ("p0(latency_ms) < 5", "p0 is no percentile"),
        ("error_ratio < 0.5 for 10s", "'for' belongs to abort conditions"),
        ("error_ratio < 5", "a share from 0 to 1; write error_ratio < 0.05"),
        ("error_ratio > 0.5", "what is good enough: of error_ratio write <"),
        ("p95(latency_ms) > 5", "write < or <="),
        ("achieved_rate < 0.9", "of achieved_rate write >"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_threshold(text)


def test_a_dwell_must_be_a_duration() -> None:
    with pytest.raises(ValueError, match="'soon' is not a duration"):
        parse_threshold("error_ratio > 0.5 for soon", with_hold=True)


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_refused(text: str, with_hold: bool) -> None:
    threshold = None
    with suppress(ValueError):  # and nothing else
        threshold = parse_threshold(text, with_hold=with_hold)
    assert threshold is None or str(threshold)


def test_an_abort_condition_says_what_is_too_bad() -> None:
    assert parse_threshold("error_ratio > 0.5 for 10s", with_hold=True).hold_s == 10
    for text in ("error_ratio < 0.5 for 5s", "achieved_rate > 0.9", "p99(latency_ms) < 100"):
        with pytest.raises(ValueError, match="what is too bad"):
            parse_threshold(text, with_hold=True)
