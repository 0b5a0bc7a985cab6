"""Load, forecast and capacity to replicas and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from seamark.compute.autoscale import (
    SCALE_IN_HOLD_LEAST_S,
    SCALE_IN_HOLD_S,
    SCALE_IN_UTILISATION,
    UTILISATION,
    recommend,
)
from seamark.core.advice import AdviceInput, Forecast, Recommendation, ReplicaCapacity, WarmFloor
from seamark.core.specs import AutoscaleSpec, MetricInput, StepLimit

AT = datetime(2026, 3, 1, tzinfo=UTC)
TEN = ReplicaCapacity(10.0, rps=10.0, high_rps=11.0)
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
    """p50 is 53.3, p99 is 96: the newsvendor's quantile lies beyond, as far as a normal one's would."""
    found = advise(20.0, forecast=coming(80.0))
    assert found.replicas == 11 and "requests/s (99.67%) are expected in 75 s" in found.reason
    assert found.forecast == coming(80.0)


def test_a_forecast_alone_never_scales_in() -> None:
    assert advise(42.0, forecast=coming(1.0), current=5, recent=steady(5)).replicas == 5


def test_the_margin_is_the_forecasts_own_error() -> None:
    steady, wild = (replace(coming(0.0), p50=80.0, p99=p99) for p99 in (82.0, 100.0))
    assert [advise(80.0, forecast=one).replicas for one in (steady, wild)] == [9, 11]
    assert advise(80.0).replicas == 10  # without a forecast the utilisation leaves the room
    assert advise(80.0, forecast=replace(steady, p99=80.0)).replicas == 9  # never to the last request


def test_with_a_forecast_scaling_in_waits_as_long_as_a_start_takes() -> None:
    for horizon_s, hold_s in ((40.0, SCALE_IN_HOLD_LEAST_S), (210.0, 210.0), (3600.0, SCALE_IN_HOLD_S)):
        calm = replace(coming(0.0), horizon_s=horizon_s, p50=20.0, p99=21.0)
        busy = [advice(hold_s - 5, 8, 8), *[advice(ago, 3, 8) for ago in range(10, int(hold_s) - 10, 10)]]
        kept = advise(20.0, current=8, recent=busy, forecast=calm)
        assert kept.replicas == 8 and f"scaling in waits {hold_s:.0f} s" in kept.reason
        older = [advice(hold_s + 5, 8, 8), *[advice(ago, 3, 8) for ago in range(10, int(hold_s) + 1, 10)]]
        assert advise(20.0, current=8, recent=older, forecast=calm).replicas == 3


@pytest.mark.parametrize("seed", range(5))
def test_advice_lies_within_its_bounds_whatever_it_is_told(seed: int) -> None:
    """Wild numbers of every kind, and what is unknown; a count is given, or it is a hold of what runs."""
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    wild = (float("nan"), float("inf"), -1.0, 0.0, 1e-300, 1e-9, 0.3, 7.0, 1e9, 1e300)
    for _ in range(400):
        least = int(rng.integers(0, 5))
        spec = replace(READS, min=least, max=least + int(rng.integers(1, 2000)))
        p50, more = one_of(*wild), one_of(*wild)
        told = Forecast(
            AT, one_of(*wild), one_of("ok", "ok", "stale"), "trend", p50 / 2, p50, p50 + more, p50 + 2 * more
        )
        rps = one_of(*wild)
        found = advise(
            one_of(None, *wild),
            spec=spec,
            forecast=one_of(None, told),
            capacity=one_of(None, ReplicaCapacity(rps)),
            current=one_of(None, 0, 3, 10**7),
            recent=[advice(float(ago), one_of(None, 0, 9, 10**9), one_of(None, 0, 9)) for ago in (10, 100, 290, 10**6)],
            inputs=[read(name, one_of(*wild)) for name in ("utilisation", "queue_length") if rng.random() < 0.5],
        )
        assert found.replicas is None or spec.min <= found.replicas <= spec.max
        if found.state != "ok":
            assert found.state == "hold" and (found.replicas is None) == (found.current is None)
            assert found.replicas is None or found.replicas >= min(found.current, spec.max)
        assert found.reason.endswith(".") and len(found.reason) < 1500


def test_a_forecast_that_says_nothing_is_left_out() -> None:
    silent = Forecast(AT, 75.0, "too_few_points", "none")
    assert advise(42.0, forecast=silent).replicas == advise(42.0).replicas == 5


def test_advice_goes_by_the_lower_end_of_the_interval() -> None:
    sure, unsure = (advise(40.0, capacity=ReplicaCapacity(low, rps=10.0, high_rps=12.0)) for low in (10.0, 7.0))
    assert (sure.replicas, unsure.replicas) == (5, 7) and unsure.capacity_rps == 7.0
    assert "one replica was tested to carry 7.0 requests/s" in unsure.reason


@pytest.mark.parametrize(
    "arrivals, capacity, words",
    [
        (None, TEN, "silence is not zero traffic"),
        (5.0, None, "run a load test"),
        (5.0, replace(TEN, rps=0.0, safe_rps=0.0), "no rate that holds"),
    ],
)
@pytest.mark.parametrize("current", [None, 3])
def test_what_is_unknown_holds_what_runs(
    arrivals: float | None, capacity: ReplicaCapacity | None, words: str, current: int | None
) -> None:
    found = advise(arrivals, capacity=capacity, current=current, forecast=coming(1000.0))
    assert found.state == "hold" and found.replicas == current and found.needed is None
    assert words in found.reason


def test_a_hold_keeps_replicas_that_were_asked_for_and_do_not_serve_yet() -> None:
    asked = [advice(20.0, 8, 8)]
    assert advise(5.0, capacity=None, current=5, recent=asked).replicas == 8
    assert advise(5.0, capacity=None, current=9, recent=asked).replicas == 9  # what runs is never told to go
    assert advise(5.0, capacity=None, current=None, recent=asked).replicas is None


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


def test_after_silence_the_wait_before_scaling_in_begins_anew() -> None:
    """The first minute that is heard again is half silence: less seems to be enough, and what ran is hardly seen."""
    silent = [replace(advice(ago, None, None), state="hold") for ago in (10.0, 100.0, 200.0)]
    found = advise(2.0, current=1, recent=[*silent, advice(210.0, 6, 6), advice(290.0, 6, 6)])
    assert found.replicas == 6 and "scaling in waits" in found.reason
    heard = [advice(float(ago), 1, 6) for ago in range(10, 290, 10)]
    assert advise(2.0, current=6, recent=[*heard, advice(280.0, 1, 6)]).replicas == 1


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


# --- metrics as inputs --------------------------------------------------------------------------------------------

READS = replace(SPEC, utilisation=MetricInput("gpu", limit=0.8))


def read(name: str, value: float | None, state: str = "fresh") -> AdviceInput:
    return AdviceInput(name, {"utilisation": "gpu", "queue_length": "queue"}.get(name, name), state, value, AT)


def test_replicas_that_a_metric_tells_are_those_that_run() -> None:
    found = advise(15.0, current=7, recent=steady(2), inputs=[read("replicas", 2.0)])
    assert found.current == 2 and found.headroom_ratio == pytest.approx(0.25)
    assert found.inputs == (read("replicas", 2.0),)


@pytest.mark.parametrize("state, words", [("stale", "has not been heard of lately"), ("unknown", "is not known")])
def test_replicas_whose_metric_is_silent_are_counted_from_spans_and_that_is_said(state: str, words: str) -> None:
    found = advise(15.0, current=7, inputs=[read("replicas", None, state)])
    assert found.current == 7
    assert found.reason.endswith(f" replicas (replicas) {words}; replicas are counted from spans instead.")
    assert "instead" not in advise(15.0, inputs=[read("replicas", None, state)]).reason


def test_a_backlog_is_drained_beside_the_arrivals() -> None:
    found = advise(10.0, current=2, inputs=[read("queue_length", 1200.0)])
    assert found.replicas == found.needed == 4  # (10 + 1200 / 60) / (10 x 0.85)
    assert "1200 requests wait (queue) and should be gone in 60 s" in found.reason and "10.0 requests/s" in found.reason
    assert advise(10.0, inputs=[read("queue_length", 0.0)]).reason == advise(10.0).reason
    assert advise(10.0, inputs=[read("queue_length", None, "stale")]).replicas == advise(10.0).replicas


@pytest.mark.parametrize("used, replicas", [(1.6, 8), (0.8, 4), (0.81, 5), (0.1, 3), (0.0, 3)])
def test_utilisation_asks_as_the_hpa_does_and_never_for_less_than_the_load(used: float, replicas: int) -> None:
    found = advise(21.0, spec=READS, current=4, recent=steady(3), inputs=[read("utilisation", used)])
    assert found.replicas == replicas
    assert ("utilisation is" in found.reason) == (replicas > 3)


def test_the_larger_need_decides_and_is_told() -> None:
    both = [read("queue_length", 1200.0), read("utilisation", 0.9)]
    assert "gpu" in advise(1.0, spec=READS, current=10, inputs=both).reason
    assert "queue" in advise(1.0, spec=READS, current=1, inputs=both).reason
    assert "expected in" in advise(1.0, spec=READS, current=1, inputs=both, forecast=coming(150.0)).reason


def test_utilisation_without_a_count_of_replicas_asks_for_nothing() -> None:
    assert advise(21.0, spec=READS, current=None, inputs=[read("utilisation", 5.0)]).replicas == 3
    assert advise(None, spec=READS, current=0, inputs=[read("utilisation", 5.0)]).state == "hold"


@pytest.mark.parametrize("arrivals, capacity", [(None, TEN), (5.0, None)])
def test_while_the_load_is_unknown_a_metric_may_ask_for_more_but_not_for_less(
    arrivals: float | None, capacity: ReplicaCapacity | None
) -> None:
    busy = advise(arrivals, capacity=capacity, spec=READS, current=4, inputs=[read("utilisation", 1.2)])
    assert (busy.state, busy.replicas, busy.needed) == ("ok", 6, None)
    assert (
        busy.reason.startswith("6 replicas: utilisation is 1.2 (gpu) on 4 replicas")
        and "no fewer, because" in busy.reason
    )
    idle = advise(arrivals, capacity=capacity, spec=READS, current=4, inputs=[read("utilisation", 0.1)])
    assert (idle.state, idle.replicas) == ("hold", 4)
    advised = advise(
        arrivals, capacity=capacity, spec=READS, current=4, recent=[advice(10, 9, 9)], inputs=[read("utilisation", 1.2)]
    )
    assert (advised.state, advised.replicas) == ("hold", 9)  # more was advised already, and is kept


def test_a_queue_alone_is_heard_where_the_capacity_is_known() -> None:
    queue = [read("queue_length", 3000.0)]
    assert advise(None, current=2, inputs=queue).replicas == 6
    assert advise(None, current=2, capacity=None, inputs=queue).state == "hold"
    assert advise(None, current=None, inputs=queue).state == "hold"  # nobody knows whether that is more


def test_the_maximum_holds_for_metrics_too() -> None:
    assert advise(None, spec=READS, current=4, inputs=[read("utilisation", 95.0)]).replicas == 20


# --- how fast it moves, and what is kept ------------------------------------------------------------------------------


def test_a_saving_of_less_than_a_twentieth_is_not_worth_an_action() -> None:
    wide, calm = replace(SPEC, max=200), replace(coming(0.0), p50=100.0, p99=100.0)
    for load, standing, replicas in ((275.0, 30, 30), (275.0, 31, 29), (275.0, 40, 29), (180.0, 20, 19), (9.0, 2, 1)):
        needed = -(-load // 9.5)
        quiet = [advice(ago, int(needed), standing) for ago in range(10, 91, 10)]
        found = advise(load, spec=wide, forecast=replace(calm, p50=load, p99=load), recent=quiet)
        assert (found.replicas, found.needed) == (replicas, needed)
        assert ("29 would do, too small a saving to scale in for" in found.reason) == (replicas == standing)


@pytest.mark.parametrize(
    "limit, standing, replicas",
    [(StepLimit(replicas=2), 3, 5), (StepLimit(share=0.5), 4, 6), (StepLimit(share=0.01), 3, 4), (None, 3, 10)],
)
def test_scaling_out_goes_no_faster_than_the_step_limit(limit: StepLimit | None, standing: int, replicas: int) -> None:
    spec = replace(SPEC, scale_out_most=limit)
    found = advise(85.0, spec=spec, recent=steady(standing))
    assert found.replicas == replicas and found.needed == 10
    assert ("no faster than the step limit allows" in found.reason) == (limit is not None)
    if limit is not None:  # the same minute: no further step
        later = [advice(5, 10, replicas), *steady(standing)]
        assert advise(85.0, spec=spec, recent=later).replicas == replicas


def test_scaling_in_goes_no_faster_than_the_step_limit() -> None:
    spec = replace(SPEC, scale_in_most=StepLimit(replicas=3))
    assert advise(16.0, spec=spec, recent=[advice(ago, 2, 12) for ago in range(10, 300, 10)]).replicas == 9
    assert advise(16.0, recent=[advice(ago, 2, 12) for ago in range(10, 300, 10)]).replicas == 3


def test_bounds_are_kept_whatever_the_step_limit_is() -> None:
    slow = AutoscaleSpec(min=6, max=8, scale_out_most=StepLimit(1), scale_in_most=StepLimit(1))
    assert advise(1.0, spec=slow, recent=steady(2, 2)).replicas == 6
    assert advise(900.0, spec=slow, recent=steady(20, 20)).replicas == 8


def test_what_is_kept_warm_is_a_lower_bound_that_says_so() -> None:
    floor = WarmFloor("ok", 14.0, replicas=7)
    for spec, replicas in (
        (replace(SPEC, warm=5), 5),
        (replace(SPEC, warm_auto=True), 7),
        (replace(SPEC, warm=50), 20),
        (SPEC, 1),
    ):
        found = advise(1.0, spec=spec, warm_floor=floor)
        assert (found.replicas, found.needed) == (replicas, 1) and found.warm_floor == floor
        assert ("kept warm" in found.reason) == (replicas in (5, 7, 20))
    assert advise(1.0, spec=replace(SPEC, warm_auto=True)).replicas == 1  # no floor is known


def test_a_seasons_rise_is_met_early() -> None:
    flat = replace(coming(0.0), p50=80.0, p99=80.0)
    assert [advise(80.0, forecast=replace(flat, season_rise=rise)).replicas for rise in (1.0, 1.5, 0.2)] == [9, 12, 9]


def test_a_hold_stays_within_the_bounds_and_never_says_that_none_are_needed() -> None:
    spec = AutoscaleSpec(min=2, max=20)
    assert [advise(None, spec=spec, current=current).replicas for current in (0, 7, 50)] == [2, 7, 20]


def test_after_a_pause_without_a_count_what_was_advised_last_is_kept_until_less_was_enough() -> None:
    spec, last = AutoscaleSpec(min=2, max=50), advice(3600.0, 40, 40)
    assert advise(5.0, spec=spec, recent=[last]).replicas == 40
    assert advise(5.0, spec=spec, current=3, recent=[last]).replicas == 3  # a count that is seen knows better
    watched = [last, *(advice(float(ago), 2, 40) for ago in range(10, 300, 10))]
    assert advise(5.0, spec=spec, recent=watched).replicas == 2


def test_advice_from_a_clock_that_was_set_back_is_not_heard() -> None:
    assert advise(5.0, current=1, recent=[advice(-200.0, 15, 15)]).replicas == advise(5.0, current=1).replicas == 1
