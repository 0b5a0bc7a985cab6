"""What is known of how right a model is: measured with labels, estimated without them, and how the estimates fared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import isfinite

from seamark.core.windows import Window


@dataclass(frozen=True)
class PerformanceMetric:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class PerformanceState(StrEnum):
    """What labels tell of a window."""

    NO_PREDICTIONS = "no_predictions"
    NO_LABELS = "no_labels"
    TOO_FEW_LABELS = "too_few_labels"  # or none that can be held against its prediction
    MEASURED = "measured"


@dataclass(frozen=True)
class Performance:
    """Predictions against labels that have come so far. `metrics` maps a name (accuracy, rmse) to its figure."""

    window: Window
    predictions: int
    labelled: int
    metrics: Mapping[str, PerformanceMetric]
    label_lag_p50_s: float | None
    known_up_to: datetime | None  # labels are complete for predictions before this instant, as far as is known
    task: str | None = None  # "classification" | "regression" | None: not known yet

    @property
    def coverage(self) -> float | None:
        """Labelled share of the window's predictions; None without predictions."""
        return self.labelled / self.predictions if self.predictions else None

    @property
    def state(self) -> PerformanceState:
        """Whether it was measured, else why not."""
        if self.metrics:
            return PerformanceState.MEASURED
        if self.labelled:
            return PerformanceState.TOO_FEW_LABELS
        return PerformanceState.NO_LABELS if self.predictions else PerformanceState.NO_PREDICTIONS


class EstimateState(StrEnum):
    """Whether performance could be estimated without labels, else why not."""

    ESTIMATED = "estimated"
    NO_PREDICTIONS = "no_predictions"
    NO_REFERENCE = "no_reference"
    NO_REFERENCE_LABELS = "no_reference_labels"
    TOO_FEW_REFERENCE_LABELS = "too_few_reference_labels"  # or labels of one class only
    NO_SCORES = "no_scores"  # in the window or in the reference
    TOO_FEW_ROWS = "too_few_rows"  # in the window


@dataclass(frozen=True)
class Estimate:
    """Performance as expected from scores and features alone. `rows` and `reference_rows` are those it rests on.

    `method` is `cbpe` (classification) or `dle` (regression), None where it is not known which.
    """

    window: Window
    state: EstimateState
    predictions: int
    rows: int = 0
    metrics: Mapping[str, PerformanceMetric] = field(default_factory=dict)
    task: str | None = None
    method: str | None = None
    reference_id: str | None = None
    reference_rows: int = 0


@dataclass(frozen=True)
class PerformancePoint:
    """One step of a series: what was measured, and what was estimated where that was asked for."""

    measured: Performance
    estimated: Estimate | None = None


@dataclass(frozen=True)
class ScoredMetric:
    """One metric as it was estimated, and as labels told later."""

    estimated: PerformanceMetric
    measured: PerformanceMetric


@dataclass(frozen=True)
class ScoredEstimate:
    """A kept estimate beside the truth, when so much of its window had labels."""

    window: Window
    coverage: float
    metrics: Mapping[str, ScoredMetric]


@dataclass(frozen=True)
class EstimateFared:
    """Estimates of one metric beside what labels said later. `held_ratio`: share of intervals that held the truth."""

    windows: int
    bias: float  # mean of estimate less truth
    mean_absolute_error: float
    held_ratio: float


def error_of(estimate: Estimate | None, measured: Performance) -> dict[str, float]:
    """Return estimate less truth by metric, where both are known."""
    metrics = estimate.metrics if estimate is not None else {}
    return {name: metrics[name].value - truth.value for name, truth in measured.metrics.items() if name in metrics}


def class_name(number: float, text: str | None) -> str | None:
    """Return a class name that agrees however a sender wrote it: 1, 1.0, "1" and true are one class; None without one.

    >>> class_name(1.0, None), class_name(float("nan"), "True"), class_name(float("nan"), "basic")
    ('1', '1', 'basic')
    """
    if text is not None:
        lowered = {"true": "1", "false": "0"}.get(text.lower(), text)
        try:
            number = float(lowered)
        except ValueError:
            return text
    if not isfinite(number):
        return text
    return str(int(number)) if number == int(number) else repr(number)
