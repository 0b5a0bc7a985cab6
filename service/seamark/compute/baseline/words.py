"""A finding -> the sentence that says it."""

from __future__ import annotations

from collections.abc import Sequence

from seamark.core.baseline import RUNS_MIN, BaselineFinding, BaselineMetric, BaselineState
from seamark.core.figures import figure, percent

_WORDS = {BaselineState.REGRESSION: "worse", BaselineState.IMPROVEMENT: "better"}


def sentence(finding: BaselineFinding) -> str:
    """Return what was found, in one sentence without a full stop."""
    if finding.state == BaselineState.NOT_COMPARABLE:
        return f"no earlier run is of the same plan: {_listed(finding.changed)} changed since the last one"
    if finding.state == BaselineState.TOO_FEW_RUNS and finding.runs < RUNS_MIN:
        newest = f", beside the {finding.repeat} that are compared" if finding.repeat > 1 else ""
        earlier = "1 earlier run" if finding.runs == 1 else f"{finding.runs} earlier runs"
        return f"{earlier} of the same plan passed{newest}; {RUNS_MIN} are needed to compare with"
    told = [metric for metric in finding.metrics if metric.state == finding.state]
    against = f"the last {finding.runs} passed runs"
    who = f"the newest {finding.repeat} runs against" if finding.repeat > 1 else "against"
    if finding.state in _WORDS:
        return f"{_WORDS[finding.state]} than {against}: {'; '.join(figures(metric) for metric in told)}"
    if finding.state == BaselineState.NO_CHANGE:
        return f"no change {who} {against} beyond what runs differ by themselves{_found(told)}"
    return f"nothing could be compared {who} {against}: {finding.state.value.replace('_', ' ')}"


def figures(metric: BaselineMetric) -> str:
    """`p95(latency_ms) 131 against 118, +11.0 % (95 % interval +6.2 to +16.1 %)`."""
    if metric.metric == "error_ratio":
        both = f"{_percent(metric.value)} against {_percent(metric.baseline)}"
        return f"{metric.metric} {both}"
    both = f"{_number(metric.value)} against {_number(metric.baseline)}"
    interval = f"95 % interval {_signed(metric.low)} to {_signed(metric.high)} %"
    return f"{metric.metric} {both}, {_signed(metric.change)} % ({interval})"


def _found(told: Sequence[BaselineMetric]) -> str:
    """What would have been found, of the tail that most plans look at."""
    known = [metric for metric in told if metric.detectable is not None and metric.metric != "error_ratio"]
    if not known:
        return ""
    shown = next((metric for metric in known if metric.metric.startswith("p95")), known[0])
    way = "lower" if shown.metric == "capacity_rps" else "higher"
    return f"; a {shown.metric} {_percent(shown.detectable)} {way} would be found in 9 of 10 cases"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _number(value: float | None) -> str:
    return "unknown" if value is None else figure(value)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else percent(value, 2)


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 100:+.1f}"
