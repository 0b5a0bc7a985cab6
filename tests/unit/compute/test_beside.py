"""What policies would have run over past arrivals: arrays for a plot, and totals without what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from seamark.compute.backtest.beside import beside
from seamark.compute.backtest.holes import bridged, runs
from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import Fleet

END = datetime(2026, 3, 1, tzinfo=UTC)
FLEET = Fleet(capacity_rps=10.0)


def history(rates: np.ndarray, step_s: float = 60.0) -> ArrivalHistory:
    return ArrivalHistory(END, step_s, rates)


@pytest.mark.slow
def test_the_course_and_its_bill() -> None:
    hpa, own = beside(history(np.full(180, 70.0)), FLEET, cost_per_replica_hour=0.5)
    assert (hpa.name, own.name) == ("hpa", "seamark")
    assert hpa.start == END - timedelta(hours=3) and len(hpa.replicas) == len(hpa.ready) == len(hpa.counted) == 720
    assert hpa.hours == 3.0 and hpa.replica_hours == pytest.approx(hpa.replicas.sum() / 240)
    assert hpa.cost == pytest.approx(hpa.replica_hours / 2)
    assert own.replica_hours < hpa.replica_hours == pytest.approx(30, rel=0.1)
    assert hpa.violation_minutes == own.violation_minutes == 0.0


def test_what_is_not_known_is_played_and_not_counted() -> None:
    rates = np.full(180, 70.0)
    rates[60:120] = np.nan
    (found,) = beside(history(rates), FLEET, policies=["hpa"])
    assert found.hours == 2.0 and found.counted.sum() == 480 and not found.counted[240:480].any()
    assert found.replicas[240:480].min() > 0
    assert found.replica_hours == pytest.approx(found.replicas[found.counted].sum() / 240)
    assert beside(history(np.full(180, np.nan)), FLEET) == []


def test_short_holes_count_and_the_ends_do_not() -> None:
    rates = np.array([np.nan, 10, np.nan, np.nan, 40, np.nan])
    filled, counts = bridged(rates, 60.0)
    assert filled.tolist() == [10, 10, 20, 30, 40, 40]
    assert counts.tolist() == [False, True, True, True, True, False]
    assert bridged(rates, 200.0)[1].tolist() == [False, True, False, False, True, False]
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]


@pytest.mark.slow
def test_a_burst_that_a_fleet_is_too_small_for_breaks_the_slo_for_as_long() -> None:
    rates = np.full(180, 20.0)
    rates[90:120] = 90.0
    found = beside(history(rates), Fleet(capacity_rps=10.0, max=5))
    assert all(one.violation_minutes > 25 and one.replicas.max() == 5 for one in found)
