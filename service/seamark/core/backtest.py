"""Words of a backtest: the traffic it plays, the fleet it plays it on, and what each policy came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from seamark.core.advice import AdviceRules

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TICK_S = 15.0  # the HPA's and KEDA's own sync period
UTILISATION = 0.7  # what HPA, KEDA and the static fleet aim at
TYPICAL_REPLICAS = 20  # the mean load, where no capacity is given


@dataclass(frozen=True)
class Trace:
    """Requests per second in even steps, oldest first; `bridged` has a sentence for whatever was filled in.

    `dispersion` is the variance of the number of requests in a stretch, by its mean (1: Poisson). Steps that are not
    `counted` are played, so that days stay days, and are in no figure; None: all count.
    """

    step_s: float
    rates: FloatArray
    dispersion: FloatArray | None = None
    bridged: tuple[str, ...] = ()
    counted: BoolArray | None = None

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.step_s * len(self.rates)


@dataclass(frozen=True)
class Instants:
    """When each request came, in seconds from the first, rising."""

    at_s: FloatArray
    bridged: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """From the first request to the last."""
        return float(self.at_s[-1])


@dataclass(frozen=True)
class Fleet:
    """What the policies steer. `capacity_rps` is what one replica carries; a request may wait for `slo_wait_s`.

    `tells_queue`: how many requests wait is measured, as a model's `queue_length` in seamark.yaml is. `rules` are the
    step limits and the warm floor that Seamark's advice keeps to; None: none. No other policy reads them.
    """

    capacity_rps: float
    cold_start_s: float = 60.0
    slo_wait_s: float = 2.0
    min: int = 1
    max: int = 10_000
    tick_s: float = TICK_S
    tells_queue: bool = False
    rules: AdviceRules | None = None


@dataclass(frozen=True)
class Played:
    """One policy's run. `replica_hours` counts those that start too, as a bill does."""

    name: str
    replica_hours: float
    replica_hours_over_oracle: float
    violation_minutes_per_day: float
    actions_per_day: float
    replicas_max: int
    cost: float | None = None


@dataclass(frozen=True)
class Backtest:
    """All policies on one trace. `beats_hpa` says whether Seamark is better in at least one figure of the pair.

    `gate`: recommended (no worse in either, better in one), weigh (better in one alone, or the same), not_recommended
    (worse in one, better in none). `days` are those that count.
    """

    simulator: str  # "fluid" | "requests"
    fleet: Fleet
    days: float
    policies: tuple[Played, ...]
    beats_hpa: bool
    verdict: str
    notes: tuple[str, ...] = ()
    gate: str = "unknown"  # in what was kept before there was one


@dataclass(frozen=True)
class Beside:
    """What a policy would have run: `replicas[i]`, starting ones too, from `start + i * tick_s` on; totals of `hours`.

    The arrays have the shape (ticks,). `counted` is false where the arrivals are not known: such ticks are in no total.
    """

    name: str
    start: datetime
    tick_s: float
    replicas: IntArray
    ready: IntArray
    counted: BoolArray
    hours: float
    replica_hours: float
    violation_minutes: float
    cost: float | None = None
