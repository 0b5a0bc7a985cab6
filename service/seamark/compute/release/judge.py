"""The evidence of all measures -> a state for each, and one verdict: promote, hold or inconclusive.

A measure is `worse` when the whole difference that chance allows lies beyond what is tolerated, and `same` when the
whole of it lies within. So a certain but small difference stops nothing, and too few rows promote nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from seamark.compute.release.blocks import Evidence
from seamark.core.release import MEASURES, MetricComparison, MetricState, ReleaseFinding, ReleaseSpec, ReleaseVerdict
from seamark.core.windows import Window

# Of a hundred releases that are as bad as is just tolerated at most one is held, over all critical measures together.
HOLD_AT = 0.01
_OTHERS_SHOWN = 10
_NAMES_TOLD = 4
_ROWS_TOLD_MAX = 10**12
_GOOD = (MetricState.SAME, MetricState.BETTER)
_WORST_FIRST = (
    MetricState.WORSE,
    MetricState.TOO_FEW_ROWS,
    MetricState.UNKNOWN,
    MetricState.SAME,
    MetricState.BETTER,
)


def judge(
    model: str,
    versions: tuple[str, str],
    window: Window,
    found: Mapping[str, Mapping[str | None, Evidence]],
    spec: ReleaseSpec,
    *,
    features_left_out: int = 0,
) -> ReleaseFinding:
    """Return the finding on (baseline, candidate), given evidence by measure and feature (None: of no feature).

    Every measure that is not left out is told, in the order of MEASURES; one without evidence is unknown.
    """
    asked = [name for name in MEASURES if spec.tolerance(name) is not None]
    p_values: dict[tuple[str, str | None], float] = {}
    # Two families: however many features there are, what can stop a release is not judged more mildly for it.
    for critical in (True, False):
        tests = [
            ((name, feature), evidence.p_worse)
            for name in asked
            if spec.is_critical(name) == critical
            for feature, evidence in found.get(name, {}).items()
            if evidence.p_worse is not None
        ]
        corrected = holm([p_value for _, p_value in tests])
        p_values |= {place: p for (place, _), p in zip(tests, corrected, strict=True)}
    metrics = tuple(_of_measure(name, found.get(name, {}), p_values, spec) for name in asked)
    verdict, reason = _verdict(metrics, versions, spec)
    return ReleaseFinding(model, *versions, window, verdict, reason, metrics, features_left_out)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the chance of any false one is bounded, however they depend (Holm, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def _of_measure(
    name: str,
    features: Mapping[str | None, Evidence],
    p_values: Mapping[tuple[str, str | None], float],
    spec: ReleaseSpec,
) -> MetricComparison:
    measure = MEASURES[name]
    blank = MetricComparison(
        name,
        MetricState.UNKNOWN,
        spec.is_critical(name),
        measure.unit,
        measure.worse,
        spec.tolerance(name) or 0.0,
        note="no rows of either version",
    )
    if not features:
        return blank
    told = [(feature, _told(blank, evidence, p_values.get((name, feature)))) for feature, evidence in features.items()]
    told.sort(key=lambda one: (_WORST_FIRST.index(one[1].state), _gap(one[1])))
    feature, worst = told[0]
    if feature is None:
        return worst
    others = tuple(str(other) for other, comparison in told[1:] if comparison.state == worst.state)
    return replace(worst, feature=feature, features=len(told), others=others[:_OTHERS_SHOWN])


def _gap(comparison: MetricComparison) -> float:
    """What orders features in one state: the smallest p-value, then the most rows that are still needed."""
    return (1.0 if comparison.p_value is None else comparison.p_value) - (comparison.rows_needed or 0) / _ROWS_TOLD_MAX


def _told(blank: MetricComparison, evidence: Evidence, p_value: float | None) -> MetricComparison:
    comparison = replace(
        blank,
        baseline=evidence.baseline,
        candidate=evidence.candidate,
        effect=evidence.effect,
        low=evidence.low,
        high=evidence.high,
        p_value=p_value,
        baseline_rows=evidence.rows[0],
        candidate_rows=evidence.rows[1],
        note=evidence.note,
    )
    if not any(evidence.rows):
        return replace(comparison, note=blank.note)
    if p_value is not None and p_value <= HOLD_AT:
        return replace(comparison, state=MetricState.WORSE)
    if evidence.better:
        return replace(comparison, state=MetricState.BETTER)
    if evidence.within:
        return replace(comparison, state=MetricState.SAME)
    return replace(comparison, state=MetricState.TOO_FEW_ROWS, rows_needed=_needed(evidence), note=_lack(evidence))


def _needed(evidence: Evidence) -> int | None:
    """About how many rows the version with fewer needs, to two digits; None where more rows may be no help."""
    fewest = min(evidence.rows)
    if evidence.enlarge is None or not fewest or evidence.enlarge * fewest > _ROWS_TOLD_MAX:
        return None
    needed = max(ceil(evidence.enlarge * fewest), fewest + 1)
    digit: int = 10 ** max(len(str(needed)) - 2, 0)
    return -(-needed // digit) * digit


def _lack(evidence: Evidence) -> str | None:
    if all(evidence.rows) and evidence.p_worse is None and evidence.enlarge is None:
        return evidence.note or "the versions hardly ever answered at the same time"
    return evidence.note


def _verdict(
    metrics: Sequence[MetricComparison], versions: tuple[str, str], spec: ReleaseSpec
) -> tuple[ReleaseVerdict, str]:
    baseline, candidate = (version or "(no version)" for version in versions)
    worse = [metric for metric in metrics if metric.state == MetricState.WORSE]
    stopping = [metric for metric in worse if metric.critical]
    if stopping:
        more = _and_more(metric.metric for metric in stopping[1:])
        return ReleaseVerdict.HOLD, f"{_worse(stopping[0], baseline, candidate)}{more}"
    known = [metric for metric in metrics if metric.state in _GOOD]
    if not any(metric.baseline_rows for metric in metrics) and not any(metric.candidate_rows for metric in metrics):
        return ReleaseVerdict.INCONCLUSIVE, f"neither {baseline} nor {candidate} has rows in the window"
    lacking = [metric for metric in metrics if metric.state == MetricState.TOO_FEW_ROWS]
    doubts = []
    if worse:
        told = f"{_worse(worse[0], baseline, candidate)}{_and_more(metric.metric for metric in worse[1:])}"
        doubts.append(f"{told}; that alone stops no release, but somebody should look")
    if lacking:
        doubts.append(_too_few(lacking, baseline, candidate))
    if doubts:
        return ReleaseVerdict.INCONCLUSIVE, "; ".join(doubts)
    missing = [name for name in spec.require if name not in {metric.metric for metric in known}]
    if missing:
        return ReleaseVerdict.INCONCLUSIVE, f"{', '.join(missing)} must be known before a promotion and is not"
    if not any(metric.critical for metric in known):
        return ReleaseVerdict.INCONCLUSIVE, "nothing that could stop a release is known of both versions"
    unknown = [metric.metric for metric in metrics if metric.state == MetricState.UNKNOWN]
    told = f"{candidate} is not worse than {baseline} by more than is tolerated, in {_listed(known)}"
    return ReleaseVerdict.PROMOTE, told + (f"; not known: {', '.join(unknown)}" if unknown else "")


def _worse(metric: MetricComparison, baseline: str, candidate: str) -> str:
    feature = f" of {metric.feature!r}" if metric.feature is not None else ""
    if metric.worse == "differs":
        much = f"differs by {_amount(metric, metric.effect)} (at least {_amount(metric, metric.low)})"
    else:
        least = metric.low if metric.worse == "higher" else -(metric.high or 0.0)
        much = (
            f"is {_amount(metric, abs(metric.effect or 0.0))} {metric.worse} than {baseline}'s"
            f" (at least {_amount(metric, least)})"
        )
    return f"{metric.metric}{feature} of {candidate} {much}; {_amount(metric, metric.tolerance)} are tolerated"


def _too_few(lacking: Sequence[MetricComparison], baseline: str, candidate: str) -> str:
    names = _listed(lacking)
    absent = next((metric for metric in lacking if not (metric.baseline_rows and metric.candidate_rows)), None)
    if absent:
        version = candidate if absent.baseline_rows else baseline
        return f"{version} has no {MEASURES[absent.metric].of} yet that count in the window; not told: {names}"
    # The one that needs most: when it is settled, so are the others.
    metric = max(lacking, key=lambda one: (one.rows_needed is None, one.rows_needed or 0))
    fewer = baseline if metric.baseline_rows < metric.candidate_rows else candidate
    has = f"{fewer} has {min(metric.baseline_rows, metric.candidate_rows):,} {MEASURES[metric.metric].of}"
    if metric.rows_needed is None:
        return f"too little to tell {names}: {has}" + (f", and {metric.note}" if metric.note else "")
    return f"too few rows to tell {names}: {has}, about {metric.rows_needed:,} are needed"


def _listed(metrics: Sequence[MetricComparison]) -> str:
    names = [metric.metric for metric in metrics]
    shown = ", ".join(names[:_NAMES_TOLD])
    return shown if len(names) <= _NAMES_TOLD else f"{shown} and {len(names) - _NAMES_TOLD} more"


def _and_more(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"; worse as well: {listed}" if listed else ""


def _amount(metric: MetricComparison, value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value * 100:.3g} {'points' if metric.unit == 'points' else '%'}"
