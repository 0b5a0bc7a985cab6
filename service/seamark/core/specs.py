"""What people ask for in seamark.yaml, parsed and checked: models, load tests, targets, channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seamark.core.baseline import BaselineSpec
from seamark.core.release import ReleaseSpec
from seamark.core.targets import TargetSpec
from seamark.core.thresholds import Threshold


@dataclass(frozen=True)
class SloSpec:
    """A service level objective over a rolling period of `over_s` seconds.

    `latency` (`p99(latency_ms) < 300`) reads: 99 % of requests are answered in under 300 ms.
    `availability` (0.999) reads: 99.9 % of requests do not fail. At least one of both is set.
    """

    over_s: float
    latency: Threshold | None = None
    availability: float | None = None


@dataclass(frozen=True)
class ReferenceSpec:
    """A reference that rolls along with live traffic; one of both is set.

    `rolling_s`: the traffic of so many seconds that ended where the window begins. `same_weekday_weeks`: the windows of
    the same weekday and hour in so many weeks before.
    """

    rolling_s: float | None = None
    same_weekday_weeks: int | None = None


Segment = tuple[tuple[str, str], ...]  # labels and their values, all of which a row must have


@dataclass(frozen=True)
class DriftSpec:
    """Watch each feature over the trailing `window_s`; `false_alarms` is the rate per window with no drift at all.

    `methods` names a method per feature where the default for its type is not wanted, `kinds` says of a feature whether
    it is text or levels where its values should not tell. `multivariate` judges whole rows, too. Without `reference`
    windows are held against the reference that was put. `segments` are judged beside the whole.
    """

    window_s: float = 3600.0
    false_alarms: float = 0.001
    rows_min: int = 100
    methods: Mapping[str, str] = field(default_factory=dict)
    reference: ReferenceSpec | None = None
    segments: tuple[Segment, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)  # "text" | "categorical"
    multivariate: bool = False


@dataclass(frozen=True)
class PerformanceSpec:
    """Measure and estimate performance over the trailing `window_s`.

    `positive` names the class of precision and recall; None: names like 0 and 1, no and yes tell it, others do not.
    """

    window_s: float = 3600.0
    positive: str | None = None


@dataclass(frozen=True)
class MetricInput:
    """A figure that advice reads from metric points: those of the model, or of all senders whose attributes match.

    `limit` is the value to keep to, in the metric's own unit; utilisation has one.
    """

    metric: str
    where: tuple[tuple[str, str], ...] = ()  # attribute of point or resource, and its value as text
    limit: float | None = None


@dataclass(frozen=True)
class PrometheusInput:
    """A figure that advice asks a Prometheus for: an instant query that answers one number, at an allowed origin."""

    url: str  # what stands before /api/v1/query
    query: str


@dataclass(frozen=True)
class StepLimit:
    """How far advice may move within a minute: so many replicas, or a share of those that it moves from."""

    replicas: int | None = None
    share: float | None = None


@dataclass(frozen=True)
class AutoscaleSpec:
    """Bounds of advice and what it reads.

    `cold_start_s` None: measured, and until it is a default is used and named. `replicas` is how many run: a metric,
    a query, or a fixed count; None: looked for in metrics of Kubernetes, else counted from spans.
    """

    min: int = 1
    max: int = 10
    cost_per_replica_hour: float | None = None
    cold_start_s: float | None = None
    replicas: MetricInput | PrometheusInput | int | None = None
    queue_length: MetricInput | None = None
    utilisation: MetricInput | None = None
    notify: str | None = None  # the channel that is told of changed advice
    scale_out_most: StepLimit | None = None  # within a minute; None: as far as the need goes
    scale_in_most: StepLimit | None = None
    warm: int | None = None  # kept whatever the load is; None: nothing beyond `min`, unless `warm_auto`
    warm_auto: bool = False  # keep what the warm floor asks for (compute/warm_floor)


@dataclass(frozen=True)
class ModelSpec:
    """One watched model; a part that is None is not evaluated."""

    name: str
    slo: SloSpec | None = None
    drift: DriftSpec | None = None
    autoscale: AutoscaleSpec | None = None
    release: ReleaseSpec | None = None  # None: the defaults; versions are compared when somebody asks
    performance: PerformanceSpec = PerformanceSpec()


@dataclass(frozen=True)
class PayloadSpec:
    """Where request bodies come from: what `kind` names.

    `replay`: the last `replay_s` of the prediction log; `rows`: given ones; `file`: its name in the folder for load
    tests; `template`: filled `count` times, from `seed`.
    """

    kind: str  # "replay" | "rows" | "file" | "template"
    replay_s: float | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    file: str | None = None
    template: Mapping[str, Any] | None = None
    seed: int = 1
    count: int = 1_000


@dataclass(frozen=True)
class ShapeSpec:
    """A load shape by its registry name, with its own parameters (checked by the shape itself)."""

    kind: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class LoadTestPlan:
    """A load test as written. `schedule` is a cron line in `timezone`, or None for runs on demand only.

    `document` is the plan as plain JSON-able data, in the words of seamark.yaml: what is stored and shown.
    """

    name: str
    model: str
    target: str
    payload: PayloadSpec
    shape: ShapeSpec
    thresholds: tuple[Threshold, ...] = ()
    abort: tuple[Threshold, ...] = ()
    schedule: str | None = None
    timezone: str = "UTC"
    scenario: str = "http_json"
    timeout_s: float = 30.0
    replicas: int = 1  # behind the target while the test runs; capacity is told per replica
    workers: int = 1  # processes that send, each on one core
    remote_workers: int = 0  # on other machines, which join; with them no process of the service's own sends
    retries: int = 0  # times a run is made again whose worker went away
    answer: str | None = None  # where in an answer the prediction stands; None: the usual places are tried
    answer_tolerance: float = 1e-6  # relative, of numbers that are held against recorded ones
    baseline: BaselineSpec = field(default_factory=BaselineSpec)
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelSpec:
    """One way out for alerts: `kind` is a registry name (webhook, alertmanager), `url` where it goes."""

    name: str
    kind: str
    url: str


@dataclass(frozen=True)
class Config:
    """One whole seamark.yaml."""

    models: tuple[ModelSpec, ...] = ()
    loadtests: tuple[LoadTestPlan, ...] = ()
    targets: tuple[TargetSpec, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    prometheus_allow: tuple[str, ...] = ()  # origins that may be asked for inputs of advice

    @property
    def targets_allow(self) -> tuple[str, ...]:
        """The allowed origins."""
        return tuple(target.url for target in self.targets)

    def target(self, origin: str) -> TargetSpec | None:
        """What is said of one origin, or None where it is not allowed."""
        return next((spec for spec in self.targets if spec.url == origin), None)

    def model(self, name: str) -> ModelSpec | None:
        """The spec of one model, or None where the file does not name it."""
        return next((spec for spec in self.models if spec.name == name), None)


@dataclass(frozen=True)
class Known:
    """The registry names a file may use; filled at the roof, so that the wire need not know the registries."""

    drift_methods: frozenset[str]
    shapes: Mapping[str, Any]  # name -> check(params) -> list[Problem]
    channels: frozenset[str]
    scenarios: frozenset[str]
