"""What was concluded: every finding carries its window or instant and the rows behind it. None means unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from seamark.core.advice import Recommendation
from seamark.core.baseline import BaselineFinding
from seamark.core.drift_parts import DriftPart
from seamark.core.load_answers import AnswerCheck, Goodput, TokenSummary
from seamark.core.performance import Estimate, Performance
from seamark.core.quality import QualityFinding
from seamark.core.scaling import Scaling
from seamark.core.windows import Window

# --- latency -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LatencyPoint:
    """Requests of one step: a count of 0 has no ratio and no quantiles (None)."""

    at: datetime
    count: int
    error_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    by: Mapping[str, str] = field(default_factory=dict)  # {"version": ..., "route": ...}


# --- drift -------------------------------------------------------------------------------------------------------


class DriftState(StrEnum):
    """What is known of one feature in one window."""

    DRIFT = "drift"
    CERTAIN_SMALL = "certain_small"  # beyond chance, too small to matter
    NO_DRIFT = "no_drift"
    TOO_FEW_ROWS = "too_few_rows"
    NO_REFERENCE = "no_reference"
    ALL_NULL = "all_null"
    NOT_IN_REFERENCE = "not_in_reference"
    NOT_IN_WINDOW = "not_in_window"
    OTHER_DIMENSION = "other_dimension"  # a vector's, than the reference's


@dataclass(frozen=True)
class FeatureDrift:
    """One feature against its reference. `threshold` is the score at which the window would count as drifted."""

    feature: str
    kind: str  # "numeric" | "categorical" | "text" | "vector" | "multivariate"
    method: str  # of several (`parts`) the most telling one
    state: DriftState
    rows: int
    reference_rows: int
    score: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    parts: tuple[DriftPart, ...] = ()

    @property
    def drifted(self) -> bool | None:
        """True or False where it was decided, None where it is unknown."""
        decided = {DriftState.DRIFT: True, DriftState.NO_DRIFT: False, DriftState.CERTAIN_SMALL: False}
        return decided.get(self.state)


@dataclass(frozen=True)
class DriftFinding:
    """All features of one model in one window; `drifted` is None where no feature could be judged."""

    model: str
    version: str | None
    window: Window
    features: tuple[FeatureDrift, ...]
    reference_id: str | None = None
    segment: Mapping[str, str] = field(default_factory=dict)  # labels and values; none: the whole window

    @property
    def drifted(self) -> bool | None:
        """Whether any feature drifted; None where none did and a feature of the reference could not be judged.

        A feature that drifted and then comes without values has not returned: that is unknown. One without a value in
        the reference can never be judged, and decides nothing.
        """
        told = [f for f in self.features if f.reference_rows or f.state == DriftState.NO_REFERENCE]
        judged = [f.drifted for f in told if f.state != DriftState.NOT_IN_REFERENCE]
        return True if any(judged) else None if not judged or None in judged else False


# --- service level objectives ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SloCounts:
    """Requests of one window: all of them, those that failed, those that were too slow."""

    window_s: float
    total: int
    failed: int
    slow: int


@dataclass(frozen=True)
class BurnRate:
    """How fast the error budget goes: 1 means exactly used up at the period's end. None: no requests."""

    severity: str  # "page" | "ticket"
    factor: float  # alarm above this, in both windows
    long_s: float
    short_s: float
    long: float | None
    short: float | None

    @property
    def exceeded(self) -> bool | None:
        """True when both windows burn faster than the factor; None where either is unknown."""
        if self.long is None or self.short is None:
            return None
        return self.long > self.factor and self.short > self.factor


@dataclass(frozen=True)
class SloStatus:
    """One objective now. `objective` is its text (`availability >= 0.999 over 30d`)."""

    kind: str  # "availability" | "latency"
    objective: str
    target: float
    over_s: float
    at: datetime
    total: int
    bad: int
    budget_remaining_ratio: float | None
    burn_rates: tuple[BurnRate, ...]


# --- load tests --------------------------------------------------------------------------------------------------


class RunStatus(StrEnum):
    """The life of a run; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True)
class LatencySummary:
    """Quantiles in milliseconds, exact over all samples; None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold and what was measured; `passed` is None where nothing was."""

    text: str
    actual: float | None
    passed: bool | None
    supported: bool | None = None  # of a percentile: enough requests to say so at 99 % confidence; None: not asked


@dataclass(frozen=True)
class ErrorKind:
    """Requests that failed in one way."""

    error: str
    count: int


@dataclass(frozen=True)
class Capacity:
    """The highest Poisson rate one replica carried within the SLO, requests per second, with its interval.

    `low` and `high` are its 95 % interval (`high` None: no rate broke the SLO).
    """

    rps: float
    low: float
    high: float | None
    limited_by: str  # "slo" | "saturation" | "stop_rps" | "generator"
    steps: tuple[CapacityStep, ...]
    supported: bool  # the quantile is statistically supported by the requests up to some rate a little below `rps`
    requests: int | None = None  # of all steps
    scaling: Scaling | None = None

    @property
    def safe_rps(self) -> float:
        """What is advised by: the lower end of the interval. Too many replicas cost money, too few break the SLO."""
        return self.low


@dataclass(frozen=True)
class CapacityStep:
    """One step of the search."""

    asked_rps: float
    achieved_rps: float
    requests: int
    error_ratio: float
    latency: LatencySummary
    held: bool | None  # None: the samples do not say
    reason: str


@dataclass(frozen=True)
class Verdict:
    """How a run ended, with the sentence that says why."""

    status: RunStatus
    reason: str
    requests: int
    errors: int
    asked_rate: float | None
    achieved_rate: float | None
    latency_ms: LatencySummary
    service_latency_ms: LatencySummary
    lateness_ms: LatencySummary
    thresholds: tuple[ThresholdResult, ...]
    capacity: Capacity | None = None
    generator_saturated: bool = False
    tokens: TokenSummary | None = None
    goodput: Goodput | None = None
    answers: AnswerCheck | None = None
    error_kinds: tuple[ErrorKind, ...] = ()  # the most frequent, in order
    notes: tuple[str, ...] = ()  # what a reader must know beside the figures; changes no status
    baseline: BaselineFinding | None = None  # beside earlier runs; None: it measured nothing to hold against them


# --- alerts ------------------------------------------------------------------------------------------------------


class AlertStatus(StrEnum):
    """The states of an alert. Unknown input changes none of them."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class AlertRule:
    """What is watched. `key` with `labels` is the alert's identity: nothing that changes may be in it."""

    name: str  # alertname
    labels: Mapping[str, str]
    severity: str  # "page" | "ticket"
    for_s: float = 0.0  # how long it must be so before it fires
    keep_s: float = 0.0  # how long it must not be so before it resolves
    summary: str = ""


@dataclass(frozen=True)
class AlertState:
    """Where one alert stands."""

    status: AlertStatus = AlertStatus.INACTIVE
    since: datetime | None = None  # of the present status
    started_at: datetime | None = None  # when it began to fire
    clear_since: datetime | None = None  # while firing: since when the cause is gone
    unknown_since: datetime | None = None
    value: float | None = None


@dataclass(frozen=True)
class Transition:
    """A change that is sent out: firing or resolved."""

    to: AlertStatus
    at: datetime


@dataclass(frozen=True)
class Alert:
    """One alert as shown and sent."""

    fingerprint: str
    rule: AlertRule
    state: AlertState
    annotations: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


# --- what people see at a glance -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSeen:
    """One version of one model in the lake: rows since the asked instant and when it was last heard of."""

    model: str
    version: str
    requests: int  # spans that are requests, synthetic ones left out
    predictions: int
    last_seen_at: datetime


@dataclass(frozen=True)
class ModelOverview:
    """One model at a glance: all that the overview page, GET /models and /metrics show of it.

    `liveness` is `live` (heard of in the last two minutes), `stale` (heard of before) or `unknown` (configured,
    never heard of). `live_rps` is None unless the model is live: silence is not zero traffic.
    """

    model: str
    at: datetime
    liveness: str
    versions: tuple[ModelSeen, ...]
    last_seen_at: datetime | None
    live_rps: float | None
    latency: tuple[LatencyPoint, ...]  # last five minutes, by version
    capacity: Capacity | None
    capacity_at: datetime | None
    capacity_run_id: str | None
    slo: tuple[SloStatus, ...]
    drift: DriftFinding | None
    performance: Performance | None
    recommendation: Recommendation | None
    alerts: tuple[Alert, ...]  # pending and firing
    quality: QualityFinding | None = None
    estimate: Estimate | None = None


def to_document(finding: Any) -> Any:
    """Return a finding as plain JSON-able data: dataclasses to objects, times to RFC 3339, enums to their text."""
    return msgspec.to_builtins(finding, enc_hook=_scalar)


def _scalar(value: Any) -> Any:
    """A number or truth value of NumPy is one of Python's: none of them may cost a finding."""
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value)} is no part of a finding")
    return value.item()
