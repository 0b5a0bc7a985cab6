"""Arrivals and ready replicas, tick by tick -> how busy they were and how long a request would wait at the tick's end.

Two models of the same queue. The fluid one knows rates only and is fast. The other serves each request: first come,
first served, each replica one at a time in 1 / capacity seconds.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, nsmallest
from math import inf
from typing import Protocol

import numpy as np

from seamark.core.backtest import Fleet, FloatArray


class Queue(Protocol):
    """What waits, carried over from tick to tick."""

    @property
    def waiting(self) -> float:
        """How many requests waited at the end of the tick served last."""
        ...

    def advance(self, tick: int, ready: int) -> tuple[float, float]:
        """Serve one tick; return (share of the replicas' time used, wait in seconds at the tick's end)."""
        ...


class FluidQueue:
    """Requests as a liquid: what comes above capacity waits."""

    def __init__(self, rates: FloatArray, fleet: Fleet) -> None:
        self._rates: list[float] = rates.tolist()
        self._fleet = fleet
        self._waiting = 0.0

    @property
    def waiting(self) -> float:
        return self._waiting

    def advance(self, tick: int, ready: int) -> tuple[float, float]:
        fleet = self._fleet
        carried = ready * fleet.capacity_rps * fleet.tick_s
        work = self._waiting + self._rates[tick] * fleet.tick_s
        self._waiting = max(work - carried, 0.0)
        if carried <= 0:
            return 0.0, inf if self._waiting > 0 else 0.0
        return min(work / carried, 1.0), self._waiting / (ready * fleet.capacity_rps)


class RequestQueue:
    """Each request by itself; a replica that is taken away finishes what it has begun."""

    def __init__(self, at_s: FloatArray, fleet: Fleet) -> None:
        self._at_s = at_s
        self._fleet = fleet
        self._free: list[float] = []  # when each ready replica is free again
        self._next = 0
        self._waiting: list[float] = []

    @property
    def waiting(self) -> float:
        return float(len(self._waiting))

    def advance(self, tick: int, ready: int) -> tuple[float, float]:
        start_s, end_s = tick * self._fleet.tick_s, (tick + 1) * self._fleet.tick_s
        self._resize(ready, start_s)
        free, service_s, begun_s = self._free, 1 / self._fleet.capacity_rps, 0.0
        until = int(np.searchsorted(self._at_s, end_s))
        queue = self._waiting + self._at_s[self._next : until].tolist()
        self._next = until
        done = 0
        for at_s in queue:
            if not free or free[0] >= end_s:
                break  # it waits beyond this tick, for whoever is there then
            begin_s = max(heappop(free), at_s, start_s)
            if begin_s >= end_s:
                heappush(free, begin_s)
                break
            heappush(free, begin_s + service_s)
            begun_s += service_s
            done += 1
        self._waiting = queue[done:]
        if not free:
            return 0.0, inf if self._waiting else 0.0
        # Whoever came now would be served after all who wait: by the server that is free after so many.
        ahead = len(self._waiting)
        rounds, place = divmod(ahead, len(free))
        first_free_s = nsmallest(place + 1, free)[-1]
        wait_s = max(first_free_s + rounds * service_s - end_s, 0.0)
        return min(begun_s / (ready * self._fleet.tick_s), 1.0), wait_s

    def _resize(self, ready: int, now_s: float) -> None:
        more = ready - len(self._free)
        if more > 0:
            for _ in range(more):
                heappush(self._free, now_s)
        elif more < 0:
            self._free = nsmallest(ready, self._free)
            heapify(self._free)
