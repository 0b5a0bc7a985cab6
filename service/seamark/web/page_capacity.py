"""The capacity a search found -> the block of its run's page."""

from __future__ import annotations

from dataclasses import dataclass

from seamark.core.findings import Capacity
from seamark.web.charts import Figure, capacity_figure
from seamark.web.page_views import Chip
from seamark.web.page_words import milliseconds, percent, rate


@dataclass(frozen=True)
class StepRow:
    """One step of a capacity search."""

    asked: str | None
    achieved: str | None
    requests: str
    failed: str | None
    p50: str | None
    p95: str | None
    p99: str | None
    chip: Chip
    reason: str


@dataclass(frozen=True)
class CapacityView:
    """What one replica carried, and the steps that showed it."""

    rps: str | None
    interval: str
    limited_by: str
    supported: bool
    one_more: str | None
    steps: tuple[StepRow, ...]
    figure: Figure


_LIMITS = {
    "slo": "the objective no longer held above it",
    "saturation": "the target was saturated above it",
    "stop_rps": "the plan's highest rate was reached: it may carry more",
    "generator": "the load generator was the bottleneck: it may carry more",
}


def capacity_view(capacity: Capacity) -> CapacityView:
    """Return the block."""
    chips = {True: Chip("good", "held"), False: Chip("bad", "did not hold"), None: Chip("quiet", "not said")}
    high = rate(capacity.high)
    words = capacity.scaling.one_more.words if capacity.scaling else ""
    steps = tuple(
        StepRow(
            asked=rate(step.asked_rps),
            achieved=rate(step.achieved_rps),
            requests=f"{step.requests:,}",
            failed=percent(step.error_ratio),
            p50=milliseconds(step.latency.p50),
            p95=milliseconds(step.latency.p95),
            p99=milliseconds(step.latency.p99),
            chip=chips[step.held],
            reason="" if step.held else step.reason,  # what held is told by its chip
        )
        for step in capacity.steps
    )
    return CapacityView(
        rps=rate(capacity.rps),
        interval=f"95 %: {rate(capacity.low)} to {high}" if high else "no rate failed",
        limited_by=_LIMITS.get(capacity.limited_by, capacity.limited_by),
        supported=capacity.supported,
        one_more=f"{words[:1].upper()}{words[1:]}." if words else None,
        steps=steps,
        figure=capacity_figure(capacity.steps),
    )
