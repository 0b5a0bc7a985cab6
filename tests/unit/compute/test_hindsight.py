"""What past counts came to: figures worked out by hand, holes left out, all totals over the same ticks."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from seamark.compute.backtest.queues import FluidQueue
from seamark.compute.hindsight import _waits, hindsight
from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import Fleet

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLEET = Fleet(10.0, cold_start_s=60.0, max=50)
HOUR = 240  # ticks


def over(rates):
    return ArrivalHistory(AT, 15.0, np.asarray(rates, dtype=np.float64))


def totals(found):
    return {total.name: total for total in found.totals}


def test_a_steady_hour_costs_what_it_has():
    found = hindsight(over([35.0] * HOUR), FLEET, {"recommended": np.full(HOUR, 4.0)}, cost_per_replica_hour=0.5)
    told = totals(found)["recommended"]
    assert (told.replica_hours, told.cost, told.violation_minutes) == (4.0, 2.0, 0.0)
    assert found.over_s == 3600.0
    assert found.hpa.shape == (HOUR,)
    assert set(totals(found)) == {"recommended", "hpa"}


def test_too_few_replicas_break_the_objective():
    found = hindsight(over([35.0] * HOUR), FLEET, {"recommended": np.full(HOUR, 3.0)}, cost_per_replica_hour=None)
    told = totals(found)["recommended"]
    # 5 requests/s more than 30 are served: the wait is 2 s after 12 s, so from the end of the first tick on.
    assert told.violation_minutes == 60.0
    assert told.cost is None


def test_a_replica_that_is_asked_for_serves_a_cold_start_later_and_one_that_ran_was_paid_for_before():
    rates = [15.0] * 40 + [35.0] * 200
    count = np.array([2.0] * 40 + [4.0] * 200)
    found = totals(
        hindsight(over(rates), FLEET, {"recommended": count, "ran": count}, cost_per_replica_hour=None),
    )
    assert found["ran"].violation_minutes == 0.0
    assert found["recommended"].violation_minutes > 0.5
    assert found["recommended"].replica_hours == pytest.approx((2 * 41 + 4 * 199) / 240)
    assert found["ran"].replica_hours == pytest.approx((2 * 36 + 4 * 204) / 240)


def test_a_hole_and_what_was_not_advised_are_in_no_total():
    rates = np.full(HOUR, 35.0)
    rates[100:160] = np.nan
    count = np.full(HOUR, 4.0)
    count[:20] = np.nan
    found = hindsight(over(rates), FLEET, {"recommended": count}, cost_per_replica_hour=1.0)
    assert found.over_s == (HOUR - 60 - 20) * 15.0
    assert totals(found)["recommended"].replica_hours == pytest.approx(4 * (HOUR - 80) / 240)


def test_waits_are_those_of_the_backtests_queue():
    rng = np.random.default_rng(4)
    rates, ready = rng.gamma(2.0, 20.0, 2000), rng.integers(0, 9, 2000)
    queue = FluidQueue(rates, FLEET)
    one_by_one = [queue.advance(tick, int(count))[1] for tick, count in enumerate(ready)]
    assert _waits(rates, ready, FLEET) == pytest.approx(one_by_one, rel=1e-9, abs=1e-6)


def test_a_count_that_is_not_known_throughout_has_no_total():
    count = np.full(HOUR, 4.0)
    ran = count.copy()
    ran[5] = np.nan
    found = hindsight(over([35.0] * HOUR), FLEET, {"recommended": count, "ran": ran}, cost_per_replica_hour=None)
    assert set(totals(found)) == {"recommended", "hpa"}


def test_nothing_known_is_nothing_told():
    nothing = np.full(HOUR, np.nan)
    assert hindsight(over(nothing), FLEET, {"recommended": nothing}, cost_per_replica_hour=None) is None
    unadvised = hindsight(over([35.0] * HOUR), FLEET, {"recommended": nothing}, cost_per_replica_hour=None)
    assert (unadvised.totals, unadvised.over_s) == ((), 0.0)
    assert unadvised.hpa.min() >= 1
