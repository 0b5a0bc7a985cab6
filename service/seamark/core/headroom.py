"""Words of headroom: load beside what is safe, replicas beside an HPA's, and when the line is crossed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from seamark.core.advice import Forecast, Recommendation, ReplicaCapacity
from seamark.core.windows import Window


@dataclass(frozen=True)
class HeadroomStep:
    """One step of a window, from `at`. None is unknown: silence is no zero load, no advice no zero replicas."""

    at: datetime
    arrivals_rps: float | None
    safe_rps: float | None = None  # what the replicas that ran then were taken to carry
    capacity_rps: float | None = None  # what one was
    current: int | None = None  # at the step's end, as the three below
    recommended: int | None = None
    needed: int | None = None  # before bounds and hysteresis
    hpa: int | None = None  # what an HPA would have had on the same arrivals
    state: str | None = None  # of the advice: ok | hold


@dataclass(frozen=True)
class ReplicaTotal:
    """What a count of replicas came to over a window; all totals of one page are over the same ticks.

    `violation_minutes` are simulated: minutes in which a request would have waited longer than `slo_wait_s` by the
    capacity that advice goes by.
    """

    name: str  # ran | recommended | hpa
    replica_hours: float
    violation_minutes: float
    cost: float | None = None  # None where no price is told


@dataclass(frozen=True)
class Crossing:
    """When the daily peak reaches a line: `replicas` of the capacity that advice goes by.

    `at` is by the trend itself, `earliest` and `latest` by the ends of its 95 % interval; None: never, or too far off.
    """

    line: str  # current | max
    replicas: int
    rps: float
    state: str  # crossed | ahead | not_at_this_growth
    at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True)
class Growth:
    """The trend of the daily peaks, requests per second per day, with its 95 % interval."""

    state: str  # ok | too_little_history | uncertain (no interval can be told of so few days)
    days: int  # of which enough is known
    days_needed: int
    season_days: int | None = None  # 7: the same weekdays are held against each other; 1: all days
    peak_rps: float | None = None  # of the busiest day of a week, by the trend, now
    rps_per_day: float | None = None
    low: float | None = None
    high: float | None = None
    crossings: tuple[Crossing, ...] = ()


@dataclass(frozen=True)
class Headroom:
    """All that a model's headroom page is made of, oldest first. `step_s` is the length of each of `steps`."""

    model: str
    at: datetime
    window: Window
    step_s: float
    asked: bool  # whether seamark.yaml asks for advice on this model
    advice: Recommendation | None
    capacity: ReplicaCapacity | None
    steps: tuple[HeadroomStep, ...]
    forecasts: tuple[Forecast, ...]  # as they were made then, at the instants they were made for
    ahead: tuple[Forecast, ...]  # made now, for instants to come
    totals: tuple[ReplicaTotal, ...]
    totals_over_s: float  # the time they are over: load, capacity and advice known
    slo_wait_s: float
    cold_start_s: float
    growth: Growth
