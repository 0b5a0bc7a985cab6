"""Requests of several windows -> error budget and burn rates of each objective.

Multi-window, multi-burn-rate alerting as in the SRE Workbook (Beyer et al., 2018, chapter 5): the budget burns too fast
when both a long and a short window burn faster than the factor. The windows belong to a period of 30 days and scale
with another (docs/decisions/0008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from seamark.core.findings import BurnRate, SloCounts, SloStatus
from seamark.core.specs import SloSpec
from seamark.core.windows import format_duration

PERIOD_S = 30 * 86_400.0
SHORT_LEAST_S = 5.0
LONG_OVER_SHORT = 12.0

# severity, factor, long window and short window for a period of 30 days
ALARMS = (
    ("page", 14.4, 3_600.0, 300.0),
    ("page", 6.0, 21_600.0, 1_800.0),
    ("ticket", 3.0, 86_400.0, 7_200.0),
    ("ticket", 1.0, 259_200.0, 21_600.0),
)


@dataclass(frozen=True)
class Objective:
    """One thing that is promised: the share `target` of requests is good."""

    kind: str  # "availability" | "latency"
    target: float
    text: str
    over_s: float

    def bad(self, counts: SloCounts) -> int:
        """Requests of a window that were not good."""
        return counts.failed if self.kind == "availability" else counts.slow


def objectives(spec: SloSpec) -> list[Objective]:
    """Return the objectives of a spec: availability, latency or both."""
    found, over = [], format_duration(spec.over_s)
    if spec.availability is not None:
        found.append(
            Objective(
                "availability", spec.availability, f"availability >= {spec.availability:g} over {over}", spec.over_s
            )
        )
    if spec.latency is not None and spec.latency.quantile is not None:
        found.append(Objective("latency", spec.latency.quantile, f"{spec.latency} over {over}", spec.over_s))
    return found


def windows_s(spec: SloSpec) -> list[float]:
    """Return the lengths to count requests over, in seconds, ascending; the period itself is the last."""
    pairs = [_scaled(long_s, short_s, spec.over_s) for _, _, long_s, short_s in ALARMS]
    return sorted({length for pair in pairs for length in pair} | {spec.over_s})


def status(objective: Objective, counts: Mapping[float, SloCounts], at: datetime) -> SloStatus:
    """Return one objective's state at `at`; `counts` holds every length that windows_s() named.

    The budget is the share of bad requests that the target allows: 1 - target. Remaining is 1 when none of it is
    used, 0 when all is, negative beyond. A window without requests burns at no rate (None), not at 0.
    """
    period = counts[objective.over_s]
    burned = _burn(objective, period)
    rates = []
    for severity, factor, long_base_s, short_base_s in ALARMS:
        long_s, short_s = _scaled(long_base_s, short_base_s, objective.over_s)
        long, short = _burn(objective, counts[long_s]), _burn(objective, counts[short_s])
        rates.append(BurnRate(severity, factor, long_s, short_s, long, short))
    return SloStatus(
        kind=objective.kind,
        objective=objective.text,
        target=objective.target,
        over_s=objective.over_s,
        at=at,
        total=period.total,
        bad=objective.bad(period),
        budget_remaining_ratio=None if burned is None else 1.0 - burned,
        burn_rates=tuple(rates),
    )


def _scaled(long_s: float, short_s: float, over_s: float) -> tuple[float, float]:
    scale = over_s / PERIOD_S
    short = max(short_s * scale, SHORT_LEAST_S)
    return max(long_s * scale, short * LONG_OVER_SHORT), short


def _burn(objective: Objective, counts: SloCounts) -> float | None:
    """The bad share over the allowed share."""
    if counts.total == 0:
        return None
    return (objective.bad(counts) / counts.total) / (1.0 - objective.target)
