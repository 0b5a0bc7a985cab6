"""Fleets that cannot be are refused with words, whatever number was written."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.compute.backtest.sized import capacity, fleet
from seamark.core.backtest import Fleet, Instants, Trace
from seamark.core.errors import Invalid

TRACE = Trace(60.0, np.array([100.0, 300.0]))


@pytest.mark.parametrize("rps", [0.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e-300, 5e-324, 0.029, 1e300])
def test_impossible_capacities(rps: float) -> None:
    with pytest.raises(
        Invalid, match=r"capacity_rps .* is impossible here; 0.03 to 1e\+09 requests/s can be played: the peak is 300"
    ):
        capacity(TRACE, rps, "capacity_rps")


def test_without_one_the_mean_load_is_twenty_replicas() -> None:
    assert capacity(TRACE, None) == 10.0
    assert capacity(Instants(np.arange(1000) / 10.0), None) == pytest.approx(0.5, rel=0.01)
    with pytest.raises(Invalid, match="no traffic"):
        capacity(Trace(60.0, np.zeros(5)), None)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, 1e9])
@pytest.mark.parametrize("place, name", [(0, "--cold-start"), (1, "--slo-wait"), (2, "--cost")])
def test_numbers_that_are_none_are_named(wrong: float, place: int, name: str) -> None:
    numbers: list[float] = [60.0, 2.0, 0.5]
    numbers[place] = wrong
    if (name, wrong) == ("--cost", 1e9):
        numbers[place] = 1e7
    with pytest.raises(Invalid, match=name):
        fleet(TRACE, 10.0, *numbers)


def test_good_ones_make_a_fleet() -> None:
    assert fleet(TRACE, 10.0, 60.0, 2.0, None) == Fleet(10.0, 60.0, 2.0)
