"""Kubernetes' HPA on CPU at 70 %: a metric 15 to 45 s old, its rule for new pods, its tolerance and behaviours."""

from __future__ import annotations

from math import ceil

from seamark.compute.backtest.behaviour import Behaviour, within_tolerance
from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.core.backtest import UTILISATION, Fleet

WINDOW_TICKS, LAG_TICKS = 2, 1


def begin(fleet: Fleet) -> Decide:
    """Return the decider of one run."""
    behaviour = Behaviour(fleet)

    def decide(seen: Seen) -> int:
        return behaviour.settle(wish(seen), seen.total)

    return decide


def wish(seen: Seen) -> int:
    """Return `ceil(current x used / target)` before behaviours.

    The metric is the mean of the two ticks that ended a tick ago: the kubelet averages, metrics-server asks each 15 s.
    A pod counts from when it has been ready for a whole window of the metric. Those that start or have just become
    ready are idle ones where it would scale up, and are left out where it would scale down (groupPods and
    calcPlainMetricReplicas in replica_calculator.go).
    """
    if len(seen.used) < WINDOW_TICKS + LAG_TICKS:
        return seen.total
    window = slice(-WINDOW_TICKS - LAG_TICKS, -LAG_TICKS)
    measured = min(seen.ready, int(seen.readies[window].min()))
    ratio = float(seen.used[window].mean()) / UTILISATION
    if within_tolerance(ratio) or measured == 0:
        return seen.total
    if ratio > 1 and measured < seen.total:
        ratio = ratio * measured / seen.total
        if ratio <= 1 or within_tolerance(ratio):
            return seen.total
        return ceil(ratio * seen.total)
    return ceil(ratio * measured)


POLICY = Policy("hpa", "HPA on CPU at 70 %, with its lags, tolerance and default behaviours", begin=begin)
