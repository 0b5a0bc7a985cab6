"""A release as it is asked about and judged: what is measured of two versions, what is tolerated, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from seamark.core.windows import Window


@dataclass(frozen=True)
class Measure:
    """One thing that is compared. `tolerance` is a share of the baseline's value, or a difference of two shares.

    `unit`: `relative` (0.05 is 5 % of the baseline), `points` (0.001 is a tenth of a percentage point) or `distance`
    (0 to 1, between two distributions). `worse`: what harms, a `higher` value, a `lower` one, or any that `differs`.
    `of` names the rows behind it. A critical measure that is worse stops the release, another only asks for a look.
    """

    name: str
    of: str  # "requests" | "predictions" | "labelled predictions"
    unit: str
    worse: str
    tolerance: float
    critical: bool


# In the order they are told.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("latency_p50", "requests", "relative", "higher", 0.05, critical=True),
        Measure("latency_p95", "requests", "relative", "higher", 0.05, critical=True),
        Measure("latency_p99", "requests", "relative", "higher", 0.05, critical=True),
        Measure("error_ratio", "requests", "points", "higher", 0.001, critical=True),
        Measure("accuracy", "labelled predictions", "points", "lower", 0.01, critical=True),
        Measure("mae", "labelled predictions", "relative", "higher", 0.05, critical=True),
        Measure("prediction_distribution", "predictions", "distance", "differs", 0.1, critical=False),
        Measure("null_ratio", "predictions", "points", "higher", 0.01, critical=False),
        Measure("out_of_range_ratio", "predictions", "points", "higher", 0.01, critical=False),
        Measure("new_category_ratio", "predictions", "points", "higher", 0.01, critical=False),
    )
}

WARMUP_S = 120.0


@dataclass(frozen=True)
class ReleaseSpec:
    """How versions of a model are compared; what is not named has the defaults of MEASURES.

    `tolerances` maps a measure to what is tolerated, or to None: it is left out. `critical` are the measures that stop
    a release when they are worse (None: the defaults). A measure of `require` must be known before a promotion. The
    first `warmup_s` of a version that has only begun to answer do not count.
    """

    tolerances: Mapping[str, float | None] = field(default_factory=dict)
    critical: tuple[str, ...] | None = None
    require: tuple[str, ...] = ()
    warmup_s: float = WARMUP_S

    def tolerance(self, name: str) -> float | None:
        """What is tolerated of a measure; None where it is left out."""
        return self.tolerances.get(name, MEASURES[name].tolerance)

    def is_critical(self, name: str) -> bool:
        """Whether a measure stops a release when it is worse."""
        return MEASURES[name].critical if self.critical is None else name in self.critical


class MetricState(StrEnum):
    """What is known of one measure of two versions."""

    WORSE = "worse"  # certainly by more than is tolerated
    TOO_FEW_ROWS = "too_few_rows"  # it may be worse by more than is tolerated, or not
    UNKNOWN = "unknown"  # there is nothing to compare
    SAME = "same"  # certainly not worse by more than is tolerated
    BETTER = "better"  # certainly better


class ReleaseVerdict(StrEnum):
    """What should become of the candidate."""

    PROMOTE = "promote"
    HOLD = "hold"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class MetricComparison:
    """One measure of both versions. `effect` is candidate against baseline, with its 90 % interval, in `unit`.

    Of a measure that is taken per feature this is the feature in the worst state: `feature` names it, `others` are
    more features in the same state (at most ten), `features` counts all that were judged. `p_value` is that of the
    effect being within what is tolerated, corrected over all critical (or all other) tests. `rows_needed` is
    about how many rows of the version with fewer would settle a measure with too few.
    """

    metric: str
    state: MetricState
    critical: bool
    unit: str
    worse: str
    tolerance: float
    baseline: float | None = None
    candidate: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    baseline_rows: int = 0
    candidate_rows: int = 0
    rows_needed: int | None = None
    feature: str | None = None
    features: int | None = None
    others: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class ReleaseFinding:
    """The candidate against the baseline in one window, with the evidence and one sentence that says why."""

    model: str
    baseline: str
    candidate: str
    window: Window
    verdict: ReleaseVerdict
    reason: str
    metrics: tuple[MetricComparison, ...]
    features_left_out: int = 0  # over the bound of what is compared

    @property
    def ok(self) -> bool | None:
        """True to promote, False to hold, None where it is not known."""
        if self.verdict == ReleaseVerdict.INCONCLUSIVE:
            return None
        return self.verdict == ReleaseVerdict.PROMOTE
