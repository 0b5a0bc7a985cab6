"""A policy and a queue -> replicas paid for, ticks over the SLO, and how often it changed its mind."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil

import numpy as np

from seamark.compute.backtest.policy import Decide, Policy, Seen
from seamark.compute.backtest.queues import Queue
from seamark.core.backtest import UTILISATION, BoolArray, Fleet, FloatArray, IntArray

BEFORE_S = 300.0  # the first minutes tell the load before them: a single tick may be all noise


@dataclass(frozen=True)
class Course:
    """One run, tick by tick: replicas paid for, those ready, the wait in seconds of a request at the tick's end, and
    whether the count was changed.
    """

    paid: IntArray
    ready: IntArray
    wait_s: FloatArray
    acted: BoolArray


def play(policy: Policy, rates: FloatArray, queue: Queue, fleet: Fleet) -> Course:
    """Run one policy through the trace. `rates` has the requests per second of each tick."""
    if policy.schedule is not None:
        return _follow(policy.schedule(rates, fleet), queue, fleet)
    assert policy.begin is not None
    return _steer(policy.begin(fleet), rates, queue, fleet)


def _steer(decide: Decide, rates: FloatArray, queue: Queue, fleet: Fleet) -> Course:
    count = len(rates)
    paid, readies = np.zeros(count, np.int64), np.zeros(count, np.int64)
    waits, used, waiting = np.zeros(count), np.zeros(count), np.zeros(count)
    delay = ceil(fleet.cold_start_s / fleet.tick_s)
    starting: deque[tuple[int, int]] = deque()  # (tick from which they serve, how many)
    ready = _within(ceil(_first_rate(rates, fleet) / (fleet.capacity_rps * UTILISATION)), fleet)
    changes = np.zeros(count, np.int64)
    for tick in range(count):
        while starting and starting[0][0] <= tick:
            ready += starting.popleft()[1]
        coming = sum(number for _, number in starting)
        paid[tick], readies[tick] = ready + coming, ready
        used[tick], waits[tick] = queue.advance(tick, ready)
        waiting[tick] = queue.waiting
        until = tick + 1
        seen = Seen(rates[:until], used[:until], ready, coming, readies[:until], waiting[: until * fleet.tells_queue])
        change = _within(decide(seen), fleet) - ready - coming
        changes[tick] = change
        if change > 0:
            starting.append((tick + 1 + delay, change))
        while change < 0 and starting:  # those that do not serve yet go first
            since, number = starting.pop()
            kept = max(number + change, 0)
            change += number - kept
            if kept:
                starting.append((since, kept))
        ready += min(change, 0)
    return Course(paid, readies, waits, changes != 0)


def _first_rate(rates: FloatArray, fleet: Fleet) -> float:
    """What a fleet that ran before the trace began would be sized for; all policies begin with the same one, warm."""
    return float(rates[: max(round(BEFORE_S / fleet.tick_s), 1)].mean())


def _follow(schedule: IntArray, queue: Queue, fleet: Fleet) -> Course:
    """Replicas that are ready as the schedule has it, each paid for from a cold start before."""
    delay = ceil(fleet.cold_start_s / fleet.tick_s)
    paid = schedule.copy()
    begun = np.maximum(np.diff(schedule), 0)
    for ago in range(1, delay + 1):  # begun[i] are ready at tick i + 1
        paid[: len(begun) + 1 - ago] += begun[ago - 1 :]
    waits = np.array([queue.advance(tick, int(ready))[1] for tick, ready in enumerate(schedule)])
    return Course(paid, schedule, waits, np.diff(schedule, prepend=schedule[:1]) != 0)


def _within(replicas: int, fleet: Fleet) -> int:
    return min(max(replicas, fleet.min), fleet.max)
