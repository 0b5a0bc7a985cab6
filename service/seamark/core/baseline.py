"""A run held against the earlier runs of its plan: how that is asked for, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

RUNS_MIN = 5  # fewer earlier runs do not tell how runs differ by themselves
RUNS_DEFAULT = 20
RUNS_MAX = 100
REPEAT_MAX = 50


@dataclass(frozen=True)
class BaselineSpec:
    """The last `runs` passed runs are the baseline; the newest `repeat` runs together are held against them.

    `fails`: a regression fails the run. `since`: only runs that ended at this instant or later are looked at.
    """

    runs: int = RUNS_DEFAULT
    repeat: int = 1
    fails: bool = False
    since: datetime | None = None


class BaselineState(StrEnum):
    """What is known of one measure, or of the run as a whole, beside the earlier runs."""

    REGRESSION = "regression"  # certainly worse
    IMPROVEMENT = "improvement"  # certainly better
    NO_CHANGE = "no_change"  # none beyond what runs differ by themselves: `detectable` says what would have been found
    TOO_FEW_RUNS = "too_few_runs"
    TOO_FEW_REQUESTS = "too_few_requests"  # of this run, for this measure
    NOT_COMPARABLE = "not_comparable"  # no earlier run was of the same plan
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True)
class BaselineMetric:
    """One measure of the newest runs (`value`) and of the baseline, each the (geometric) mean over its runs.

    `change` is a share of the baseline, 0.05 for 5 % more; of `error_ratio` it is a difference of ratios. `low` and
    `high` are its 95 % interval. `p_value` is that of a change for the worse, corrected over the run's measures.
    `noise` is by how much one run differs from the next by itself, and `detectable` the change for the worse that
    would be found in 9 of 10 cases, both in the unit of `change`. `runs_for_5_percent` is how many runs on either side
    would find 5 % so often at this noise; None: more than 1,000, or it is not that kind of measure.
    """

    metric: str  # "p95(latency_ms)" | "error_ratio" | "capacity_rps"
    state: BaselineState
    value: float | None = None
    baseline: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    noise: float | None = None
    detectable: float | None = None
    runs_for_5_percent: int | None = None
    runs: int = 0  # of the baseline that measured it


@dataclass(frozen=True)
class PastRun:
    """One run as it is drawn: `values` by metric. `role` is `baseline` or `candidate`, the newest run is the last."""

    run_id: str
    ended_at: datetime
    role: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class BaselineFinding:
    """A run beside the earlier ones of its plan, with the sentence that says it.

    `changed` are the parts of the plan in which the newest run that is not comparable differs. `sampling_errors` and
    `parts` belong to this run, and are what later runs read of it: the standard errors of the logarithms of its
    quantiles, and a digest of each part of the plan that must be the same.
    """

    state: BaselineState
    reason: str
    fails: bool
    runs: int
    repeat: int
    metrics: tuple[BaselineMetric, ...] = ()
    history: tuple[PastRun, ...] = ()  # both groups, oldest first
    changed: tuple[str, ...] = ()
    sampling_errors: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def compared(self) -> bool:
        """Whether any measure was held against earlier runs."""
        return any(metric.baseline is not None for metric in self.metrics)
