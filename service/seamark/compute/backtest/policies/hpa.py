"""Kubernetes' HPA on CPU at 70 %: a metric 15 to 45 s old, its tolerance, its default behaviours."""

from __future__ import annotations

from math import ceil

from seamark.compute.backtest.behaviour import Behaviour, within_tolerance
from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.core.backtest import UTILISATION, Fleet


def begin(fleet: Fleet) -> Decide:
    """Return the decider of one run."""
    behaviour = Behaviour(fleet)

    def decide(seen: Seen) -> int:
        return behaviour.settle(wish(seen), seen.total)

    return decide


def wish(seen: Seen) -> int:
    """Return `ceil(current x used / target)` before behaviours.

    The metric is the mean of the two ticks that ended a tick ago: the kubelet averages, metrics-server asks each 15 s.
    Replicas that start count as idle when it would scale up, and not at all when it would scale down
    (replica_calculator.go).
    """
    if len(seen.used) < 3:
        return seen.total
    ratio = float(seen.used[-3:-1].mean()) / UTILISATION
    if within_tolerance(ratio) or seen.ready == 0:
        return seen.total
    if ratio > 1 and seen.starting:
        ratio = ratio * seen.ready / seen.total
        if ratio <= 1 or within_tolerance(ratio):
            return seen.total
        return ceil(ratio * seen.total)
    return ceil(ratio * seen.ready)


POLICY = Policy("hpa", "HPA on CPU at 70 %, with its lags, tolerance and default behaviours", begin=begin)
