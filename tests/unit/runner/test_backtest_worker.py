"""What the worker makes of a trace of which a part is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seamark.core.backtest import Fleet, Trace
from seamark.runner.backtest import play


@pytest.mark.slow  # processes of their own
def test_a_stretch_that_is_not_counted_is_in_no_figure_of_the_warm_floor(tmp_path: Path) -> None:
    rates = np.full(2 * 1500, 20.0)
    for start in range(100, 1500, 150):
        rates[start : start + 8] = 100.0
    fleet = Fleet(capacity_rps=10.0, max=100)

    def floor(trace: Trace) -> tuple[float, float | None]:
        found = play(trace, fleet, cost_per_replica_hour=None, folder=tmp_path, timeout_s=60.0).warm_floor
        return found.days, found.minutes

    days, minutes = floor(Trace(15.0, rates[:1500]))
    assert days == pytest.approx(1500 * 15 / 86_400) and minutes is not None and minutes > 0
    both = floor(Trace(15.0, rates, counted=np.arange(3000) < 1500))
    assert both == pytest.approx((days, minutes))
