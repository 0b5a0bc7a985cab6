"""Words of autoscale advice: what it goes by, what is foreseen, and how many replicas it comes to."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.core.specs import StepLimit


@dataclass(frozen=True)
class AdviceInput:
    """One thing advice was to go by: what it is, where it was looked for, and what was found.

    `value` is None unless the state is `fresh`; only a capacity that is `stale` has one, as advice goes by it all the
    same. An input that nobody measured but somebody wrote down (`seamark.yaml`)
    or that stands in for an unknown one (`default`) is fresh too: `source` tells how far to trust it.
    """

    # arrivals | in_flight | service_time | service_time_cv | capacity | replicas | cold_start | history |
    # queue_length | utilisation
    name: str
    metric: str | None  # as it was sent, where the source is metrics; the query where it is Prometheus
    state: str  # fresh | stale (heard of, too long ago) | unknown
    value: float | None = None
    at: datetime | None = None  # of the newest measurement in it
    source: str = "metrics"  # spans | metrics | prometheus | load_test | production | seamark.yaml | default
    unit: str = ""  # requests/s | requests | s | replicas | ...
    low: float | None = None  # its interval, where it has one
    high: float | None = None
    note: str | None = None  # what a reader must know: why it is stale, what is used instead


@dataclass(frozen=True)
class ReplicaCapacity:
    """What one replica is taken to carry, requests per second.

    `safe_rps` is what advice goes by: the lower end of the interval. Too many replicas cost money, too few break the
    SLO. A capacity seen in production is a floor that was carried, not a limit that was found: trust it less.
    """

    safe_rps: float
    source: str = "load_test"  # load_test | production
    rps: float | None = None
    high_rps: float | None = None
    at: datetime | None = None  # when it was measured


@dataclass(frozen=True)
class ArrivalHistory:
    """Arrivals per second in even steps, oldest first, the last of them ending at `end`; NaN where nothing is known.

    A silent step is 0 only where others were heard of meanwhile or hardly a request was to be expected: an outage is
    not zero traffic.
    """

    end: datetime
    step_s: float
    rates: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """Arrivals per second at `at`: quantiles, or `state` says why there are none (`too_few_points`)."""

    at: datetime
    horizon_s: float
    state: str  # "ok" | "too_few_points" | "stale"
    method: str
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    most_rps: float | None = None  # the highest that ever came, and a little: no advice goes beyond it
    season_rise: float = 1.0  # the season's largest from now until shortly after `at`, by the season at `at`


@dataclass(frozen=True)
class WarmFloor:
    """Replicas to keep warm for bursts that rise faster than a replica starts, and what that is worth.

    `minutes` are minutes a day in which more is needed than a fleet that follows the load has, without the floor and
    with it; `replica_hours` what the floor adds a day. None: not known, the state says why.
    """

    state: str  # ok | not_needed | too_little_history | no_capacity
    days: float  # of history it is made of
    replicas: int | None = None
    bursts: int = 0  # rises that outran a start
    carried: int = 0  # of them, by the floor
    minutes: float | None = None
    minutes_with: float | None = None
    replica_hours: float | None = None
    cost: float | None = None  # a day; None where no price is known
    reason: str = ""
    at: datetime | None = None  # where history ends


@dataclass(frozen=True)
class AdviceRules:
    """What of the spec a decision went by, beside the bounds."""

    cost_per_replica_hour: float | None = None
    utilisation_limit: float | None = None
    scale_out_most: StepLimit | None = None
    scale_in_most: StepLimit | None = None
    warm: int | None = None
    warm_auto: bool = False


@dataclass(frozen=True)
class AdviceGate:
    """What the newest backtest on the model's own history says of following the advice.

    `state`: recommended | weigh (better than the HPA in one figure alone) | not_recommended (in none) | unknown.
    """

    state: str
    sentence: str
    at: datetime | None = None  # of the backtest


@dataclass(frozen=True)
class PastAdvice:
    """What later decisions read of advice: a Recommendation's JSON decodes to it, all else of it is passed over."""

    at: datetime
    state: str = "ok"
    replicas: int | None = None
    needed: int | None = None


@dataclass(frozen=True)
class Recommendation:
    """How many replicas, and why in one sentence. `hold` means: keep what runs, the reason says what is unknown."""

    model: str
    at: datetime
    state: str  # "ok" | "hold"
    replicas: int | None
    current: int | None
    min: int
    max: int
    reason: str
    capacity_rps: float | None
    arrivals_rps: float | None
    forecast: Forecast | None
    headroom_ratio: float | None  # (capacity of the current replicas - live load) / capacity; None: unknown
    cost_per_hour: float | None = None
    needed: int | None = None  # before bounds and hysteresis; what scaling in waits by
    inputs: tuple[AdviceInput, ...] = ()  # all it went by or was to go by
    gate: AdviceGate | None = None  # None: made before there were gates
    # What replaying needs beside the above (compute/replay); None in advice that was stored before they were kept.
    capacity: ReplicaCapacity | None = None
    rules: AdviceRules | None = None
    warm_floor: WarmFloor | None = None
    before: tuple[PastAdvice, ...] | None = None  # of the minutes before, those that the decision went by


def short_form(value: Any) -> Any:
    """Return words of advice as nested objects without what is its default: read, they are the same again.

    One is written every ten seconds for each model, and most of what it has room for is not there. Forecasts are kept
    whole: past ones are shown as they are read.
    """
    if isinstance(value, tuple):
        return [short_form(one) for one in value]
    kind: Any = type(value)
    defaults = _defaults(kind)
    if defaults is None or isinstance(value, Forecast):
        return value
    told = ((name, getattr(value, name), default) for name, default in defaults)
    return {name: short_form(held) for name, held, default in told if held is not default and held != default}


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...] | None:
    """Return the fields of a dataclass with their defaults (or MISSING); None for what is no dataclass."""
    return tuple((one.name, one.default) for one in fields(kind)) if is_dataclass(kind) else None


def long_form(value: Any) -> Any:
    """Return words of advice that were read from their short form with every field their own.

    msgspec leaves a field that it does not find to its class, and does not write it again.
    """
    if is_dataclass(value):
        kind: Any = type(value)
        return kind(**{one.name: long_form(getattr(value, one.name)) for one in fields(value)})
    return tuple(long_form(one) for one in value) if isinstance(value, tuple) else value
