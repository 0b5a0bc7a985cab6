"""KEDA on `rate(requests[1m])`, a tick late, under the HPA's tolerance and behaviours."""

from __future__ import annotations

from seamark.compute.backtest.arrival_rate import begin_with
from seamark.compute.backtest.policy import Policy

POLICY = Policy("keda_1m", "KEDA on rate[1m] of the arrivals at 70 % of capacity", begin=begin_with(1 * 60.0))
