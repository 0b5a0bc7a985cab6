"""A run's comparison with the earlier runs of its plan -> the block of its page."""

from __future__ import annotations

from dataclasses import dataclass

from seamark.core.baseline import BaselineFinding, BaselineMetric, BaselineState
from seamark.web.charts import Figure, baseline_figure
from seamark.web.page_views import Chip
from seamark.web.page_words import known, milliseconds, number, percent, rate


@dataclass(frozen=True)
class BaselineRow:
    """One measure: this run, the earlier ones, the change with its interval, and the change that would be found."""

    metric: str
    value: str | None
    baseline: str | None
    change: str | None
    interval: str | None
    detectable: str | None
    chip: Chip


@dataclass(frozen=True)
class BaselineView:
    """The sentence, a row per measure, and the last runs as a plot (None: there are no two to draw)."""

    reason: str
    chip: Chip
    fails: bool
    rows: tuple[BaselineRow, ...]
    figure: Figure | None


_CHIPS = {
    BaselineState.REGRESSION: Chip("bad", "Worse"),
    BaselineState.IMPROVEMENT: Chip("good", "Better"),
    BaselineState.NO_CHANGE: Chip("quiet", "No change"),
    BaselineState.TOO_FEW_RUNS: Chip("quiet", "Too few runs"),
    BaselineState.TOO_FEW_REQUESTS: Chip("quiet", "Too few requests"),
    BaselineState.NOT_COMPARABLE: Chip("quiet", "Not comparable"),
    BaselineState.NOT_MEASURED: Chip("quiet", "Not measured"),
}


def baseline_view(finding: BaselineFinding) -> BaselineView:
    """Return the block."""
    drawn = baseline_figure(finding.history) if len(finding.history) > 1 else None
    rows = tuple(_row(metric) for metric in finding.metrics) if finding.compared else ()
    return BaselineView(finding.reason, _CHIPS[finding.state], finding.fails, rows, drawn)


def _row(metric: BaselineMetric) -> BaselineRow:
    low, high = _change(metric, metric.low), _change(metric, metric.high)
    return BaselineRow(
        metric=metric.metric,
        value=_measured(metric, metric.value),
        baseline=_measured(metric, metric.baseline),
        change=_change(metric, metric.change),
        interval=f"{low} to {high}" if low and high else None,
        detectable=_detectable(metric),
        chip=_CHIPS[metric.state],
    )


def _detectable(metric: BaselineMetric) -> str | None:
    value = known(metric.detectable)
    return _change(metric, -value if metric.metric == "capacity_rps" and value is not None else value)


def _measured(metric: BaselineMetric, value: float | None) -> str | None:
    if metric.metric == "error_ratio":
        return percent(value)
    if metric.metric == "capacity_rps":
        return rate(value)
    return milliseconds(value) if "latency_ms" in metric.metric else number(value)


def _change(metric: BaselineMetric, value: float | None) -> str | None:
    """With its sign; of ratios in percentage points."""
    if known(value) is None or value is None:
        return None
    return f"{value * 100:+.2f} points" if metric.metric == "error_ratio" else f"{value * 100:+.1f} %"
