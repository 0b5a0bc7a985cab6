"""A run's figures and those of earlier runs of its plan -> a finding: worse, better, or by how much it could be unseen.

The baseline are the last passed runs of the same plan; with `repeat` the newest runs together are held against those
before them, which is what finds a change that is no larger than the noise from run to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite, log, sqrt

import numpy as np

from seamark.compute.baseline.comparable import changed
from seamark.compute.baseline.difference import Difference, Group, bounded_exp, difference, runs_needed
from seamark.compute.baseline.errors import SMALLEST, ErrorCounts, compare_errors
from seamark.compute.baseline.sampling import QUANTILES, RESOLUTION_MS, enough
from seamark.compute.baseline.words import sentence
from seamark.compute.columns import FloatArray
from seamark.compute.intervals import Z_95
from seamark.core.baseline import RUNS_MIN, BaselineFinding, BaselineMetric, BaselineSpec, BaselineState, PastRun
from seamark.core.findings import Capacity, Verdict

FALSE_ALARMS = 0.005  # the chance that a run which is as the others is told to be worse in anything
NOISE_LEAST = 0.005  # between runs, as a share: runs that happen to be equal do not make the next a regression
ERROR_RATIO, CAPACITY = "error_ratio", "capacity_rps"
_CAPACITY_ERROR = log(1.1) / sqrt(12)  # where a search tells no interval: known to be between rates 10 % apart
_NAMED_CHANGE = log(1.05)


@dataclass(frozen=True)
class RunFigures:
    """What the comparison reads of one run. `sampling_errors` are empty for runs stored before they were kept."""

    run_id: str
    ended_at: datetime
    passed: bool
    requests: int
    errors: int
    quantiles: dict[str, float | None]
    sampling_errors: dict[str, float]
    capacity: Capacity | None
    parts: dict[str, str]


@dataclass(frozen=True)
class _Tested:
    """A measure before the run's measures are judged together; `apply` fills in what depends on the level."""

    metric: BaselineMetric
    p_worse: float | None = None
    p_better: float | None = None
    at_level: Callable[[float], BaselineMetric] | None = None
    worth_it: bool = True  # large enough to be told


def figures_of(
    run_id: str,
    ended_at: datetime,
    verdict: Verdict,
    parts: dict[str, str],
    sampling: dict[str, float],
    *,
    passed: bool,
) -> RunFigures:
    """Return the figures of a run with its verdict; what is no finite number is unknown."""
    summary = verdict.latency_ms
    values = dict(zip(QUANTILES, (summary.p50, summary.p95, summary.p99), strict=True))
    quantiles = {name: value if value is not None and isfinite(value) else None for name, value in values.items()}
    known = {name: error for name, error in sampling.items() if isfinite(error)}
    return RunFigures(
        run_id, ended_at, passed, verdict.requests, verdict.errors, quantiles, known, verdict.capacity, parts
    )


def judge(now: RunFigures, earlier: Sequence[RunFigures], spec: BaselineSpec, *, search: bool) -> BaselineFinding:
    """Return the finding. `earlier` passed or failed, the newest first; `search`: the plan seeks a capacity."""
    same = [run for run in earlier if not changed(run.parts, now.parts)]
    newest = [now, *same[: spec.repeat - 1]]
    baseline = [run for run in same[spec.repeat - 1 :] if run.passed][: spec.runs]
    names = [CAPACITY] if search else [*QUANTILES, ERROR_RATIO]
    finding = BaselineFinding(
        BaselineState.TOO_FEW_RUNS,
        "",
        spec.fails,
        runs=len(baseline),
        repeat=len(newest),
        history=_history(baseline, newest, search=search),
        sampling_errors=now.sampling_errors,
        parts=now.parts,
    )
    if len(baseline) < RUNS_MIN:
        if not same and earlier:
            finding = replace(finding, state=BaselineState.NOT_COMPARABLE, changed=changed(earlier[0].parts, now.parts))
        shown = _shown(now, search=search)
        unjudged = tuple(BaselineMetric(name, finding.state, value=shown.get(name)) for name in names)
        return replace(finding, metrics=unjudged, reason=sentence(finding))
    metrics = _judged([_test(name, baseline, newest) for name in names])
    finding = replace(finding, metrics=metrics, state=_overall([metric.state for metric in metrics]))
    return replace(finding, reason=sentence(finding))


def _overall(states: Sequence[BaselineState]) -> BaselineState:
    """The state of the run: the first of these that any measure has."""
    order = (BaselineState.REGRESSION, BaselineState.IMPROVEMENT, BaselineState.NO_CHANGE)
    return next((state for state in order if state in states), states[0])


def _judged(tested: Sequence[_Tested]) -> tuple[BaselineMetric, ...]:
    """Decide all measures together: the chance of any false regression is bounded, that of any improvement apart."""
    known = [one for one in tested if one.p_worse is not None and one.p_better is not None]
    worse = hochberg([one.p_worse or 0.0 for one in known])
    better = hochberg([one.p_better or 0.0 for one in known])
    decided = {}
    for one, p_worse, p_better in zip(known, worse, better, strict=True):
        state = BaselineState.NO_CHANGE
        if one.worth_it and p_worse <= FALSE_ALARMS:
            state = BaselineState.REGRESSION
        elif one.worth_it and p_better <= FALSE_ALARMS:
            state = BaselineState.IMPROVEMENT
        at_level = one.at_level(FALSE_ALARMS / len(known)) if one.at_level else one.metric
        decided[one.metric.metric] = replace(at_level, state=state, p_value=p_worse)
    return tuple(decided.get(one.metric.metric, one.metric) for one in tested)


def hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the chance of any false one is bounded (Hochberg, Biometrika 75, 1988).

    It asks less than Holm where several are small, and holds where tests err together (Sarkar, 1998), as those of the
    quantiles of one run do.

    >>> [round(p, 3) for p in hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    corrected, smallest = [0.0] * len(p_values), 1.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)):
        smallest = min(smallest, (place + 1) * p_values[index])
        corrected[index] = smallest
    return corrected


def _test(name: str, baseline: Sequence[RunFigures], newest: Sequence[RunFigures]) -> _Tested:
    if name == ERROR_RATIO:
        return _test_errors(baseline, newest)
    measured = [[run for run in side if _value(run, name) is not None] for side in (baseline, newest)]
    if newest[0] not in measured[1]:
        few = name in QUANTILES and newest[0].quantiles[name] is not None
        return _Tested(BaselineMetric(name, BaselineState.TOO_FEW_REQUESTS if few else BaselineState.NOT_MEASURED))
    if len(measured[0]) < RUNS_MIN:
        return _Tested(
            BaselineMetric(name, BaselineState.TOO_FEW_RUNS, value=_value(newest[0], name), runs=len(measured[0]))
        )
    old, new = (_group(side, name, measured) for side in measured)
    middle = bounded_exp(float(old.values.mean()))
    coarse = RESOLUTION_MS / middle if name in QUANTILES else 0.0
    found = difference(old, new, sqrt(NOISE_LEAST**2 + coarse**2))
    return _on_logarithms(name, middle, found, len(measured[0]))


def _on_logarithms(name: str, middle: float, found: Difference, runs: int) -> _Tested:
    metric = BaselineMetric(
        name,
        BaselineState.NO_CHANGE,
        value=middle * bounded_exp(found.value),
        baseline=middle,
        change=bounded_exp(found.value) - 1,
        low=bounded_exp(found.value - found.reach()) - 1,
        high=bounded_exp(found.value + found.reach()) - 1,
        noise=bounded_exp(found.noise) - 1,
        runs=runs,
    )
    falls = name == CAPACITY  # less is worse

    def at_level(level: float) -> BaselineMetric:
        shift = found.detectable(level, above=not falls)
        detectable = 1 - bounded_exp(-shift) if falls else bounded_exp(shift) - 1
        needed = runs_needed(found.noise, _NAMED_CHANGE, level)
        return replace(metric, detectable=detectable if shift < 50 else None, runs_for_5_percent=needed)

    above, below = found.p_above(), found.p_below()
    return _Tested(metric, *((below, above) if falls else (above, below)), at_level)


def _test_errors(baseline: Sequence[RunFigures], newest: Sequence[RunFigures]) -> _Tested:
    measured = [[run for run in side if run.requests > 0] for side in (baseline, newest)]
    if newest[0].requests == 0 or len(measured[0]) < RUNS_MIN:
        few = BaselineState.TOO_FEW_RUNS if newest[0].requests else BaselineState.NOT_MEASURED
        return _Tested(BaselineMetric(ERROR_RATIO, few, runs=len(measured[0])))
    old, new = (
        ErrorCounts(np.array([float(run.requests) for run in side]), np.array([float(run.errors) for run in side]))
        for side in measured
    )
    found = compare_errors(old, new)
    metric = BaselineMetric(
        ERROR_RATIO,
        BaselineState.NO_CHANGE,
        value=new.ratio,
        baseline=old.ratio,
        change=found.change,
        low=found.low,
        high=found.high,
        noise=found.noise,
        runs=len(measured[0]),
    )
    return _Tested(
        metric,
        found.p_more,
        found.p_fewer,
        lambda level: replace(metric, detectable=max(found.detectable(level), SMALLEST)),
        worth_it=abs(found.change) >= SMALLEST,
    )


def _value(run: RunFigures, name: str) -> float | None:
    """A run's figure, None where it was not measured or too few requests tell it."""
    if name == CAPACITY:
        return run.capacity.rps if run.capacity is not None and run.capacity.rps > 0 else None
    return run.quantiles[name] if enough(run.requests, QUANTILES[name]) else None


def _group(side: Sequence[RunFigures], name: str, measured: Sequence[Sequence[RunFigures]]) -> Group:
    values = [_value(run, name) or 0.0 for run in side]
    if name == CAPACITY:
        errors = [_capacity_error(run.capacity) for run in side]
        return Group(np.log(np.array(values)), np.array(errors) ** 2)
    return Group(np.log(np.maximum(values, RESOLUTION_MS)), _variances(side, name, measured))


def _variances(side: Sequence[RunFigures], name: str, measured: Sequence[Sequence[RunFigures]]) -> FloatArray:
    """What chance within each run adds: as its own requests tell, and at least what all runs tell of so many."""
    all_runs = [run for group in measured for run in group]
    worth = [run.sampling_errors[name] ** 2 * run.requests for run in all_runs if name in run.sampling_errors]
    one_request = float(np.mean(worth)) if worth else 0.0
    requests = np.array([float(run.requests) for run in side])
    smooth: FloatArray = one_request / requests
    if side is measured[0]:
        return smooth
    own = np.array([run.sampling_errors.get(name, 0.0) ** 2 for run in side])
    restless: FloatArray = np.maximum(smooth, own)
    return restless


def _capacity_error(capacity: Capacity | None) -> float:
    """The standard error of a capacity's logarithm, from its 95 % interval."""
    if capacity is None or capacity.high is None or not 0 < capacity.low < capacity.high:
        return _CAPACITY_ERROR
    return log(capacity.high / capacity.low) / (2 * Z_95)


def _history(baseline: Sequence[RunFigures], newest: Sequence[RunFigures], *, search: bool) -> tuple[PastRun, ...]:
    """Both groups in the order they ended."""
    told = [(run, "baseline") for run in baseline] + [(run, "candidate") for run in newest]
    told.sort(key=lambda one: one[0].ended_at)
    return tuple(PastRun(run.run_id, run.ended_at, role, _shown(run, search=search)) for run, role in told)


def _shown(run: RunFigures, *, search: bool) -> dict[str, float]:
    if search:
        return {CAPACITY: run.capacity.rps} if run.capacity else {}
    values = {name: value for name, value in run.quantiles.items() if value is not None}
    return {**values, ERROR_RATIO: run.errors / run.requests} if run.requests else values
