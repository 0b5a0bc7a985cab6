"""Requests per window to budgets and burn rates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from seamark.compute.slo import objectives, status, windows_s
from seamark.core.findings import SloCounts
from seamark.core.specs import SloSpec
from seamark.core.thresholds import parse_threshold

AT = datetime(2026, 3, 1, tzinfo=UTC)
MONTH_S = 30 * 86_400.0
SPEC = SloSpec(MONTH_S, parse_threshold("p99(latency_ms) < 300"), 0.999)


def counts(spec: SloSpec, total: int, failed: int = 0, slow: int = 0) -> dict[float, SloCounts]:
    return {length: SloCounts(length, total, failed, slow) for length in windows_s(spec)}


def test_objectives_read_as_they_were_written() -> None:
    availability, latency = objectives(SPEC)
    assert (availability.kind, availability.target, availability.text) == (
        "availability",
        0.999,
        "availability >= 0.999 over 30d",
    )
    assert (latency.kind, latency.target, latency.text) == ("latency", 0.99, "p99(latency_ms) < 300 over 30d")
    assert [o.kind for o in objectives(SloSpec(3600.0, availability=0.9))] == ["availability"]


def test_a_month_is_watched_over_the_workbooks_windows() -> None:
    assert windows_s(SPEC) == [300.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0, 259_200.0, MONTH_S]
    rates = status(objectives(SPEC)[0], counts(SPEC, 10), AT).burn_rates
    assert [(r.severity, r.factor, r.long_s, r.short_s) for r in rates] == [
        ("page", 14.4, 3600, 300),
        ("page", 6.0, 21_600, 1800),
        ("ticket", 3.0, 86_400, 7200),
        ("ticket", 1.0, 259_200, 21_600),
    ]


@pytest.mark.parametrize(
    "over_s, shortest_s, its_long_s", [(60.0, 5.0, 60.0), (43_200.0, 5.0, 60.0), (7 * 86_400.0, 70.0, 840.0)]
)
def test_other_periods_scale_with_a_floor(over_s: float, shortest_s: float, its_long_s: float) -> None:
    spec = SloSpec(over_s, availability=0.99)
    rates = status(objectives(spec)[0], counts(spec, 1), AT).burn_rates
    assert rates[0].short_s == pytest.approx(shortest_s) and rates[0].long_s == pytest.approx(its_long_s)
    assert all(rate.long_s >= 12 * rate.short_s * (1 - 1e-9) for rate in rates)
    assert windows_s(spec) == sorted(set(windows_s(spec))) and over_s in windows_s(spec)


def test_budget_and_burn_rate_are_the_bad_share_over_the_allowed_one() -> None:
    availability, latency = objectives(SPEC)
    found = status(availability, counts(SPEC, 100_000, failed=50, slow=3000), AT)
    assert (found.total, found.bad, found.at) == (100_000, 50, AT)
    assert found.budget_remaining_ratio == pytest.approx(0.5)
    assert found.burn_rates[0].long == pytest.approx(0.5) and found.burn_rates[0].exceeded is False
    found = status(latency, counts(SPEC, 100_000, failed=50, slow=3000), AT)
    assert found.bad == 3000 and found.budget_remaining_ratio == pytest.approx(-2.0)
    assert [rate.exceeded for rate in found.burn_rates] == [False, False, False, True]


def test_both_windows_must_burn() -> None:
    some = counts(SPEC, 1000)
    for length in (3600.0, 21_600.0, 259_200.0, 86_400.0):
        some[length] = SloCounts(length, 1000, 100, 0)
    found = status(objectives(SPEC)[0], some, AT).burn_rates
    assert found[0].long == pytest.approx(100) and found[0].short == 0 and found[0].exceeded is False
    some[300.0] = SloCounts(300.0, 10, 1, 0)
    assert status(objectives(SPEC)[0], some, AT).burn_rates[0].exceeded is True


def test_without_requests_nothing_burns_and_nothing_is_known() -> None:
    found = status(objectives(SPEC)[0], counts(SPEC, 0), AT)
    assert found.budget_remaining_ratio is None
    assert all(r.long is None and r.short is None and r.exceeded is None for r in found.burn_rates)
    some = counts(SPEC, 100)
    some[300.0] = SloCounts(300.0, 0, 0, 0)
    assert status(objectives(SPEC)[0], some, AT).burn_rates[0].exceeded is None
