"""Past arrivals and the counts of replicas then -> what each cost and broke, beside an HPA on the same arrivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from seamark.compute.backtest.holes import bridged
from seamark.compute.backtest.play import Course, play
from seamark.compute.backtest.policies import POLICIES
from seamark.compute.backtest.queues import FluidQueue
from seamark.compute.backtest.ticks import tick_rates
from seamark.core.advice import ArrivalHistory
from seamark.core.backtest import BoolArray, Fleet, FloatArray, IntArray, Trace
from seamark.core.headroom import ReplicaTotal

_ROUNDING = 1e-6  # requests; nobody waits
HPA = "hpa"
READY = "ran"  # its counts are replicas that served already; others are asked for, and serve a cold start later


@dataclass(frozen=True)
class Hindsight:
    """Of each tick of `tick_s` the replicas an HPA would have had; `totals` over `over_s` seconds, the same for all."""

    tick_s: float
    hpa: IntArray
    totals: tuple[ReplicaTotal, ...]
    over_s: float


def hindsight(
    history: ArrivalHistory, fleet: Fleet, counts: Mapping[str, FloatArray], *, cost_per_replica_hour: float | None
) -> Hindsight | None:
    """Return what replicas came to; None where nothing is known of the arrivals.

    `counts` has, by name, the replicas in each tick (of `fleet.tick_s`, as many as the history has; NaN where not
    known). Totals are over the ticks in which the arrivals and the count `recommended` are known; a count that is not
    known in all of these has none. The queue is the backtest's fluid one.
    """
    rates, known = bridged(history.rates, history.step_s)
    if not known.any():
        return None
    ticks, hpa = _hpa(history.step_s, rates.tobytes(), fleet)
    middles_s = (np.arange(len(ticks)) + 0.5) * fleet.tick_s
    counted = known[np.minimum((middles_s / history.step_s).astype(np.int64), len(known) - 1)]
    if "recommended" in counts:
        counted = counted & np.isfinite(counts["recommended"])
    totals = []
    for name, count in counts.items():
        if counted.any() and np.isfinite(count[counted]).all():
            paid, ready = _followed(_filled(count), fleet, ready=name == READY)
            totals.append(_total(name, paid, _waits(ticks, ready, fleet), counted, fleet, cost_per_replica_hour))
    if counted.any():
        totals.append(_total(HPA, hpa.paid, hpa.wait_s, counted, fleet, cost_per_replica_hour))
    return Hindsight(fleet.tick_s, hpa.paid, tuple(totals), float(counted.sum()) * fleet.tick_s)


@lru_cache(maxsize=8)  # two weeks take a second and 2 MB, and stay the same for ten minutes
def _hpa(step_s: float, rates: bytes, fleet: Fleet) -> tuple[FloatArray, Course]:
    """Return (requests per second of each tick, the HPA's course over them); they are shared: nobody writes to them."""
    ticks = tick_rates(Trace(step_s, np.frombuffer(rates)), fleet.tick_s, seed=1)
    return ticks, play(POLICIES[HPA], ticks, FluidQueue(ticks, fleet), fleet)


def _filled(count: FloatArray) -> IntArray:
    """Counts with the last known one, else the next, where none is known: a queue needs some."""
    known = np.flatnonzero(np.isfinite(count))
    place = np.maximum(np.searchsorted(known, np.arange(len(count)), side="right") - 1, 0)
    return np.asarray(np.maximum(count[known[place]], 0).astype(np.int64))


def _followed(count: IntArray, fleet: Fleet, *, ready: bool) -> tuple[IntArray, IntArray]:
    """Return (paid, ready): paid for from the cold start on, ready after it. What is asked for is heard a tick late."""
    windows = np.lib.stride_tricks.sliding_window_view
    delay = ceil(fleet.cold_start_s / fleet.tick_s)
    if ready:
        return windows(np.pad(count, (0, delay), mode="edge"), delay + 1).max(axis=1), count
    heard = np.concatenate((count[:1], count[:-1]))
    return heard, windows(np.pad(heard, (delay, 0), mode="edge"), delay + 1).min(axis=1)


def _waits(ticks: FloatArray, ready: IntArray, fleet: Fleet) -> FloatArray:
    """Return the seconds that a request would wait at each tick's end: the backtest's fluid queue, all ticks at once.

    What waits, max(before + came - carried, 0), is the sum of the differences less its lowest point so far (Lindley).
    """
    carried_rps = ready * fleet.capacity_rps
    differences = np.cumsum((ticks - carried_rps) * fleet.tick_s)
    waiting = differences - np.minimum(np.minimum.accumulate(differences), 0.0)
    nobody = np.where(waiting > _ROUNDING, np.inf, 0.0)
    wait_s: FloatArray = np.divide(waiting, carried_rps, out=nobody, where=carried_rps > 0)
    return wait_s


def _total(
    name: str, paid: IntArray, wait_s: FloatArray, counted: BoolArray, fleet: Fleet, price: float | None
) -> ReplicaTotal:
    hours = float(paid[counted].sum()) * fleet.tick_s / 3600
    over = int(np.count_nonzero(wait_s[counted] > fleet.slo_wait_s))
    return ReplicaTotal(name, hours, over * fleet.tick_s / 60, None if price is None else price * hours)
