"""Requests that arrive and replicas that serve them by a known law -> when each was answered, by whom, and whether."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Law:
    """One replica: so many requests at once, each log-normally long; who waits too long is refused."""

    slots: int = 2
    service_s: float = 0.4
    spread: float = 0.5  # standard deviation of the logarithm
    patience_s: float = 8.0
    cold_start_s: float = 45.0
    slo_s: float = 2.0  # 99 % of a minute's requests are answered within it

    def service_times(self, rng: np.random.Generator, count: int) -> list[float]:
        """Seconds that each of so many requests holds its slot; their mean is `service_s`."""
        mean = np.log(self.service_s) - self.spread**2 / 2
        return [float(s) for s in rng.lognormal(mean, self.spread, count)]

    def carried_rps(self, seed: int = 1, requests: int = 6000) -> float:
        """The highest Poisson rate at which one replica answers 99 % within the SLO, as a capacity test finds it."""
        low, high = 0.0, self.slots / self.service_s
        for _ in range(8):
            rng = np.random.default_rng(seed)
            rate = (low + high) / 2
            fleet = Fleet(self, 1, rng)
            served = fleet.serve(np.cumsum(rng.exponential(1 / rate, requests)).tolist())
            held = np.quantile([one.end_s - one.start_s for one in served], 0.99) < self.slo_s
            low, high = (rate, high) if held else (low, rate)
        return low


@dataclass(frozen=True)
class Served:
    """One request, as its span tells it: from its arrival to its answer."""

    instance: str
    start_s: float
    end_s: float
    failed: bool


@dataclass(eq=False)
class Replica:
    """One instance; it serves from `ready_s` on, and takes nothing new once it is leaving."""

    name: str
    ready_s: float
    leaving_s: float | None = None


@dataclass
class Fleet:
    """Replicas behind one queue. `replicas` are those that were asked for, starting ones too."""

    law: Law
    count: int
    rng: np.random.Generator
    replicas: list[Replica] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._made = 0
        self._slots: list[tuple[float, int, Replica]] = []  # (free at, tie, whose)
        self._ties = 0
        self._start(self.count, 0.0)

    def scale(self, count: int, now_s: float) -> None:
        """Have `count` replicas: new ones serve after a cold start; those not ready go first, then the youngest."""
        if count > len(self.replicas):
            self._start(count - len(self.replicas), now_s + self.law.cold_start_s)
        for gone in sorted(self.replicas, key=lambda one: one.ready_s)[count:]:
            gone.leaving_s = now_s
            self.replicas.remove(gone)

    def ready(self, now_s: float) -> list[str]:
        """The names of those that serve."""
        return [one.name for one in self.replicas if one.ready_s <= now_s]

    def serve(self, arrivals_s: Sequence[float]) -> list[Served]:
        """Answer requests in the order in which they arrive: each takes the slot that is free first."""
        served = []
        for at_s, takes_s in zip(arrivals_s, self.law.service_times(self.rng, len(arrivals_s)), strict=True):
            free_s, replica = self._first_free()
            begins_s = max(at_s, free_s)
            if begins_s - at_s > self.law.patience_s:
                served.append(Served(replica.name, at_s, at_s + self.law.patience_s, failed=True))
                self._give_back(free_s, replica)
                continue
            served.append(Served(replica.name, at_s, begins_s + takes_s, failed=False))
            self._give_back(begins_s + takes_s, replica)
        return served

    def _start(self, count: int, ready_s: float) -> None:
        for _ in range(count):
            self._made += 1
            replica = Replica(f"pod-{self._made}", ready_s)
            self.replicas.append(replica)
            for _ in range(self.law.slots):
                self._give_back(ready_s, replica)

    def _first_free(self) -> tuple[float, Replica]:
        while True:
            free_s, _, replica = heapq.heappop(self._slots)
            if replica.leaving_s is None:
                return free_s, replica

    def _give_back(self, free_s: float, replica: Replica) -> None:
        self._ties += 1
        heapq.heappush(self._slots, (free_s, self._ties, replica))


@dataclass(frozen=True)
class Burst:
    """Traffic that rises to `height` times itself within `ramp_s`, stays, and is gone as fast."""

    start_s: float
    length_s: float
    height: float
    ramp_s: float = 60.0

    def factor(self, at_s: float) -> float:
        """By what the rate is multiplied at an instant."""
        inside = min(at_s - self.start_s, self.start_s + self.length_s - at_s)
        return 1.0 + (self.height - 1.0) * min(max(inside / self.ramp_s, 0.0), 1.0)


@dataclass(frozen=True)
class Traffic:
    """A wave and bursts; requests come as a Poisson process of that rate."""

    mean_rps: float
    wave_s: float
    depth: float
    phase: float
    bursts: tuple[Burst, ...]

    @classmethod
    def drawn(cls, rng: np.random.Generator, minutes: float, mean_rps: float, wave_s: float) -> Traffic:
        """Draw a traffic with one burst in every twenty minutes but the first ten."""
        bursts = tuple(
            Burst(at_s + float(rng.uniform(0, 600)), float(rng.uniform(180, 300)), float(rng.uniform(1.3, 1.7)))
            for at_s in np.arange(600.0, minutes * 60 - 600.0, 1200.0).tolist()
        )
        return cls(mean_rps, wave_s, 0.4, float(rng.uniform(0, 2 * np.pi)), bursts)

    def rate(self, at_s: float) -> float:
        """Requests per second at an instant."""
        rate = self.mean_rps * (1 + self.depth * np.sin(2 * np.pi * at_s / self.wave_s + self.phase))
        for burst in self.bursts:
            rate *= burst.factor(at_s)
        return float(rate)

    def arrivals(self, rng: np.random.Generator, start_s: float, length_s: float) -> list[float]:
        """The instants of a short stretch, in order."""
        count = rng.poisson(self.rate(start_s + length_s / 2) * length_s)
        return [float(at) for at in np.sort(rng.uniform(start_s, start_s + length_s, count))]
