"""Predictive scaling as AWS has it: an hourly forecast from up to 14 days, 300 s early, beside reactive scaling.

The hour's forecast is the mean of the same hour of the days before: theirs is not published. Without a whole day of
history there is none (AWS asks for 24 hours). The larger of forecast and reactive counts; the forecast never scales in.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from seamark.compute.backtest.behaviour import Behaviour
from seamark.compute.backtest.policies import hpa
from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.core.backtest import UTILISATION, Fleet

BUFFER_S = 300.0
HOUR_S = 3600.0
DAYS_MAX = 14


def begin(fleet: Fleet) -> Decide:
    """Return the decider of one run."""
    behaviour, hour = Behaviour(fleet), round(HOUR_S / fleet.tick_s)
    early = round(BUFFER_S / fleet.tick_s)
    hourly: list[float] = []  # mean arrivals of each whole hour so far

    def decide(seen: Seen) -> int:
        now = len(seen.arrivals)
        while len(hourly) < now // hour:
            hourly.append(float(seen.arrivals[len(hourly) * hour : (len(hourly) + 1) * hour].mean()))
        # From the buffer before an hour on, the larger of both hours: a replica is not given up between the two.
        coming = max(_forecast(hourly, now // hour), _forecast(hourly, (now + early) // hour))
        floor = ceil(coming / (fleet.capacity_rps * UTILISATION))
        return max(behaviour.settle(hpa.wish(seen), seen.total), floor)

    return decide


def _forecast(hourly: list[float], hour: int) -> float:
    same = [
        hourly[before] for before in range(hour - 24, max(hour - 24 * DAYS_MAX, 0) - 1, -24) if before < len(hourly)
    ]
    return float(np.mean(same)) if same else 0.0


POLICY = Policy("aws_predictive", "hourly forecast 300 s early, beside the HPA", begin=begin)
