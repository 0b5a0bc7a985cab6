"""Load, forecast and capacity to replicas and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from seamark.compute.autoscale import SCALE_IN_HOLD_S, SCALE_IN_UTILISATION, UTILISATION, recommend
from seamark.core.findings import Capacity, Forecast, Recommendation
from seamark.core.specs import AutoscaleSpec

AT = datetime(2026, 3, 1, tzinfo=UTC)
TEN = Capacity(10.0, 10.0, 11.0, "slo", (), supported=True)
SPEC = AutoscaleSpec(min=1, max=20)


def coming(p90: float, state: str = "ok") -> Forecast:
    return Forecast(AT, 75.0, state, "persistence", p90 / 2, p90 / 1.5, p90, p90 * 1.2)


def advise(arrivals: float | None, *, spec: AutoscaleSpec = SPEC, **more: Any) -> Recommendation:
    given = {"forecast": None, "capacity": TEN, "current": None, "recent": [], **more}
    return recommend("m", AT, spec, arrivals_rps_last_minute=arrivals, **given)


def advice(seconds_ago: float, needed: int | None, replicas: int | None) -> Recommendation:
    return replace(advise(1.0), at=AT - timedelta(seconds=seconds_ago), needed=needed, replicas=replicas)


def steady(needed: int, replicas: int | None = None) -> list[Recommendation]:
    """Advice every ten seconds through the whole hold."""
    return [advice(ago, needed, replicas or needed) for ago in range(10, 300, 10)]


@pytest.mark.parametrize("arrivals, replicas", [(0.0, 1), (8.5, 1), (8.6, 2), (85.0, 10), (170.0, 20)])
def test_replicas_carry_the_load_at_the_utilisation_in_use(arrivals: float, replicas: int) -> None:
    found = advise(arrivals)
    assert found.state == "ok" and found.replicas == replicas
    assert arrivals <= replicas * TEN.rps * UTILISATION + 1e-9
    assert found.capacity_rps == 10.0 and found.arrivals_rps == arrivals


def test_the_reason_is_a_sentence_with_its_figures() -> None:
    found = advise(42.0)
    for words in ("5 replicas", "42.0 requests/s", "10.0 requests/s", "85%"):
        assert words in found.reason
    assert found.reason.endswith(".") and "\n" not in found.reason


def test_a_forecast_scales_out_and_says_so() -> None:
    found = advise(20.0, forecast=coming(80.0))
    assert found.replicas == 10 and "80.0 requests/s (90 %) are expected in 75 s" in found.reason
    assert found.forecast == coming(80.0)


def test_a_forecast_alone_never_scales_in() -> None:
    assert advise(42.0, forecast=coming(1.0), current=5, recent=steady(5)).replicas == 5


def test_a_forecast_that_says_nothing_is_left_out() -> None:
    silent = Forecast(AT, 75.0, "too_few_points", "none")
    assert advise(42.0, forecast=silent).replicas == advise(42.0).replicas == 5


@pytest.mark.parametrize(
    "arrivals, capacity, words",
    [
        (None, TEN, "silence is not zero traffic"),
        (5.0, None, "run a load test"),
        (5.0, replace(TEN, rps=0.0, low=0.0), "no rate that holds"),
    ],
)
@pytest.mark.parametrize("current", [None, 3])
def test_what_is_unknown_holds_what_runs(
    arrivals: float | None, capacity: Capacity | None, words: str, current: int | None
) -> None:
    found = advise(arrivals, capacity=capacity, current=current, forecast=coming(1000.0))
    assert found.state == "hold" and found.replicas == current and found.needed is None
    assert words in found.reason


def test_bounds_are_kept_and_told() -> None:
    spec = AutoscaleSpec(min=2, max=4)
    high, low = advise(500.0, spec=spec), advise(1.0, spec=spec)
    assert high.replicas == 4 and "the maximum" in high.reason and "59 would be needed" in high.reason
    assert low.replicas == 2 and "the minimum" in low.reason
    assert high.needed == 59


def test_scaling_out_does_not_wait() -> None:
    assert advise(85.0, current=2, recent=steady(2)).replicas == 10


def test_scaling_in_waits_until_less_was_enough_for_the_whole_hold() -> None:
    busy = [advice(SCALE_IN_HOLD_S - 10, 8, 8), *[advice(ago, 3, 8) for ago in range(10, 280, 10)]]
    found = advise(21.0, current=8, recent=busy)
    assert found.replicas == 8 and "3 would do now, scaling in waits 300 s" in found.reason
    quiet = [advice(ago, 3, 8) for ago in range(10, 300, 10)]
    assert advise(21.0, current=8, recent=quiet).replicas == 3


def test_a_service_that_just_started_does_not_scale_in_on_its_first_look() -> None:
    found = advise(5.0, current=8)
    assert found.replicas == 8 and "scaling in waits" in found.reason
    assert advise(5.0, current=8, recent=[advice(20, 1, 8), advice(10, 1, 8)]).replicas == 8
    unknown = [advice(ago, None, 8) for ago in range(10, 300, 10)]  # holds: nothing was known through them
    assert advise(5.0, current=8, recent=unknown).replicas == 8


def test_scaling_in_leaves_room_for_the_present_load() -> None:
    """Two would be used to 80 %, which is fine to stay at, and too much to scale in to."""
    quiet = [advice(ago, 2, 3) for ago in range(10, 300, 10)]
    found = advise(16.0, current=3, recent=quiet)
    assert found.replicas == 3 and "at 80%, too much to scale in" in found.reason
    many = [advice(ago, 2, 9) for ago in range(10, 300, 10)]
    assert advise(16.0, current=9, recent=many).replicas == 3  # not two, and not nine either


@pytest.mark.parametrize("arrivals", [0.0, 3.0, 16.0, 59.4, 120.0])
@pytest.mark.parametrize("standing", [1, 4, 12, 20])
def test_after_scaling_in_the_load_stays_within_the_what_if(arrivals: float, standing: int) -> None:
    found = advise(arrivals, current=standing, recent=[advice(ago, 1, standing) for ago in range(10, 300, 10)])
    assert SPEC.min <= found.replicas <= SPEC.max
    if found.replicas < standing:
        assert arrivals <= found.replicas * TEN.rps * SCALE_IN_UTILISATION + 1e-9


def test_headroom_and_cost_are_told_where_they_are_known() -> None:
    spec = AutoscaleSpec(cost_per_replica_hour=0.45)
    found = advise(15.0, spec=spec, current=2, recent=steady(2))
    assert found.headroom_ratio == pytest.approx(0.25) and found.cost_per_hour == pytest.approx(0.9)
    assert advise(30.0, current=2).headroom_ratio == pytest.approx(-0.5)
    assert advise(15.0).headroom_ratio is None and advise(15.0).cost_per_hour is None
    assert advise(None, current=2).headroom_ratio is None
    assert advise(15.0, current=0).headroom_ratio is None
