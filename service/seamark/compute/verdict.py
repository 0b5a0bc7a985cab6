"""A plan's thresholds and a run's samples -> passed, failed, inconclusive or aborted, with the sentence why.

Latency thresholds are over every request that ended, answered or failed, counted from the instant it was due. A run
that measured too little, or measured the load generator, is inconclusive, never passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import betainc

from seamark.compute.capacity import aggregate, conclude, judge_step, lateness_limit_ms, of_tokens, summary, supported
from seamark.compute.load_shape import FloatArray, Segment, SegmentResult
from seamark.compute.run_answers import RunAnswers
from seamark.compute.scaling import explain
from seamark.compute.token_notes import TokenNotes
from seamark.core.figures import figure
from seamark.core.findings import Capacity, CapacityStep, ErrorKind, RunStatus, ThresholdResult, Verdict
from seamark.core.load_errors import GIVEN_UP
from seamark.core.specs import LoadTestPlan
from seamark.core.thresholds import OF_ANSWERS, OF_TOKENS_BY_REQUEST, Threshold

ACHIEVED_LEAST = 0.95
LATENESS_SAMPLES_MIN = 100
PART_LEVEL = 0.01
KINDS_MAX = 10


class RanSegment(Protocol):
    """A segment as it was run."""

    @property
    def index(self) -> int: ...
    @property
    def asked_rps(self) -> float: ...
    @property
    def start_s(self) -> float: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def ran_s(self) -> float | None: ...


def judge(
    plan: LoadTestPlan,
    samples: pa.Table,
    segments: Sequence[RanSegment],
    *,
    generator_saturated: bool,
    aborted: str | None,
    unreachable: str | None,
    tokens: TokenNotes | None = None,
) -> Verdict:
    """Return a run's verdict, of samples with the columns of core.records.LOAD_SAMPLES and the generator's notes."""
    whole = _Run(samples, segments, tokens)
    run = whole if aborted is None else _Run(_without_given_up(samples), segments, tokens)
    capacity: Capacity | None = None
    if plan.shape.kind == "capacity":
        measured = [result for result in run.results() if result.segment.asked_rps > 0]  # pauses are no steps
        steps = [judge_step(result, plan.thresholds) for result in measured]
        stop_rps = float(plan.shape.params["stop_rps"])
        capacity = conclude(steps, measured, plan.thresholds, replicas=plan.replicas, stop_rps=stop_rps)
        if capacity is not None:
            capacity = _explained(capacity, measured, plan)
        results = _best_step(plan.thresholds, steps, measured, capacity, plan.replicas)
        status, reason = _search_status(run, steps, capacity, unreachable)
    else:
        results = tuple(
            _result(threshold, run.measure(threshold, plan.thresholds), run.supports(threshold))
            for threshold in plan.thresholds
        )
        late = generator_saturated or run.late(plan.thresholds)
        status, reason = _status(run, results, generator_late=late, unreachable=unreachable)
        if plan.shape.kind == "soak" and status == RunStatus.PASSED:
            status, reason = _each_part(run.results(), plan.thresholds, reason)
    if aborted is not None:
        status, reason = RunStatus.ABORTED, aborted
    return Verdict(
        status=status,
        reason=reason,
        requests=whole.requests,
        errors=run.errors,
        asked_rate=whole.asked_rate,
        achieved_rate=whole.achieved_rate,
        latency_ms=summary(run.latency_ms),
        service_latency_ms=summary(run.service_latency_ms),
        lateness_ms=summary(run.lateness_ms),
        thresholds=results,
        capacity=capacity,
        generator_saturated=generator_saturated,
        tokens=run.answers.token_summary(),
        goodput=run.answers.goodput(plan.thresholds),
        answers=run.answers.answer_check(),
        error_kinds=_error_kinds(samples),
    )


def _without_given_up(samples: pa.Table) -> pa.Table:
    """What was given up at a stop says nothing of the target, neither good nor bad."""
    return samples.filter(pc.invert(pc.is_in(samples["error"], pa.array(sorted(GIVEN_UP)))))


def _explained(capacity: Capacity, measured: Sequence[SegmentResult], plan: LoadTestPlan) -> Capacity:
    """A law that cannot be fitted must not cost the run its verdict."""
    try:
        return explain(capacity, measured, plan.thresholds, replicas=plan.replicas)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
        return capacity


def _error_kinds(samples: pa.Table) -> tuple[ErrorKind, ...]:
    counted = samples["error"].drop_null().value_counts()
    kinds = [(one["values"], one["counts"]) for one in counted.to_pylist()]
    kinds.sort(key=lambda kind: (-kind[1], kind[0]))
    return tuple(ErrorKind(error, count) for error, count in kinds[:KINDS_MAX])


class _Run:
    """A run's samples as arrays; rates are over the planned time of its segments."""

    def __init__(self, samples: pa.Table, segments: Sequence[RanSegment], tokens: TokenNotes | None) -> None:
        self._segments = sorted(segments, key=lambda segment: segment.index)
        self._segment = samples["segment"].to_numpy()
        self._due_s = samples["due_s"].to_numpy()
        self._sent_s = _numbers(samples, "sent_s")
        self._latency_ms, self._service_ms = _numbers(samples, "latency_ms"), _numbers(samples, "service_latency_ms")
        self._ok = (
            samples["ok"].to_numpy(zero_copy_only=False)
            if isinstance(samples["ok"], pa.Array)
            else np.array(samples["ok"].to_pylist(), dtype=bool)
        )
        self.latency_ms = _known(self._latency_ms)
        self.service_latency_ms = _known(self._service_ms)
        # What thresholds are held against: a request that was never answered is slower than any limit, as in a step.
        self._judged = {
            "latency_ms": np.where(np.isnan(self._latency_ms), np.inf, self._latency_ms),
            "service_latency_ms": np.where(np.isnan(self._service_ms), np.inf, self._service_ms)[
                ~np.isnan(self._sent_s)
            ],
        }
        self.lateness_ms = np.maximum(_known((self._sent_s - self._due_s) * 1e3), 0.0)
        self.requests: int = samples.num_rows
        self.errors = int((~self._ok).sum())
        # A run that was stopped has not made all of its last segment.
        self.duration_s = float(sum(s.duration_s if s.ran_s is None else s.ran_s for s in segments))
        self.answers = RunAnswers.read(samples, self.duration_s, tokens)
        self.planned = float(sum(segment.asked_rps * segment.duration_s for segment in segments))

    @property
    def sent(self) -> int:
        return int((~np.isnan(self._sent_s)).sum())

    @property
    def asked_rate(self) -> float | None:
        """What the plan asked for; of a run that was stopped what it had asked for by then.

        None where nothing was planned: users send when they have their answer.
        """
        if not self.duration_s or not self.planned:
            return None
        whole = all(segment.ran_s is None for segment in self._segments)
        return (self.planned if whole else self.requests) / self.duration_s

    @property
    def achieved_rate(self) -> float | None:
        return self.sent / self.duration_s if self.duration_s else None

    @property
    def short(self) -> bool:
        """Whether fewer requests are known of than the plan asked for, beyond what Poisson's chance explains."""
        return self.requests < ACHIEVED_LEAST * self.planned - 4 * sqrt(self.planned)

    def late(self, thresholds: Sequence[Threshold]) -> bool:
        """Whether requests went out later than a tenth of the tightest latency limit (p99), and than 10 ms."""
        if len(self.lateness_ms) < LATENESS_SAMPLES_MIN:
            return False
        p99 = summary(self.lateness_ms).p99
        return p99 is not None and p99 > lateness_limit_ms(thresholds)

    def measure(self, threshold: Threshold, limits: Sequence[Threshold]) -> float | None:
        """What a threshold speaks of; None where it was not measured. `limits` are all of the plan."""
        if not self.requests:
            return None
        if threshold.metric in OF_ANSWERS:
            return self.answers.measure(threshold, limits)
        if threshold.metric == "error_ratio":
            return self.errors / self.requests
        if threshold.metric == "achieved_rate":
            return self.sent / self.requests
        if threshold.metric == "requests":
            return float(self.requests)
        if threshold.metric == "rate_rps":
            return self.achieved_rate
        judged = self._judged.get(threshold.metric)
        return aggregate(getattr(self, threshold.metric) if judged is None else judged, threshold)

    def supports(self, threshold: Threshold) -> bool | None:
        """Whether the requests show a latency percentile to be within its limit; None for what is no such thing."""
        judged = self._judged.get(threshold.metric)
        if judged is None or threshold.quantile is None:
            return None
        return supported(len(judged), int(sum(not threshold.holds(value) for value in judged)), threshold.quantile)

    @property
    def succeeded(self) -> int:
        return int(self._ok.sum())

    def results(self) -> list[SegmentResult]:
        """The run cut into its segments."""
        found = []
        tokens = self.answers.series
        for ran in self._segments:
            rows = self._segment == ran.index
            due = self._due_s[rows] - ran.start_s
            order = np.argsort(due, kind="stable")
            take = np.flatnonzero(rows)[order]
            segment = Segment(ran.index, ran.asked_rps, ran.duration_s, due[order])
            lateness = (self._sent_s[take] - self._due_s[take]) * 1e3
            told = (self._latency_ms[take], self._service_ms[take], lateness, self._ok[take])
            of_tokens = (tokens["first_token_ms"][take], tokens["time_per_token_ms"][take])
            found.append(SegmentResult(segment, *told, *of_tokens))
        return found


def _numbers(samples: pa.Table, name: str) -> FloatArray:
    return np.asarray(samples[name].cast(pa.float64()).to_numpy(), dtype=np.float64)


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _result(threshold: Threshold, actual: float | None, shown: bool | None = None) -> ThresholdResult:
    finite = actual is not None and np.isfinite(actual)
    passed = threshold.holds(actual) if actual is not None else None
    return ThresholdResult(str(threshold), actual if finite else None, passed, shown)


def _status(
    run: _Run, results: Sequence[ThresholdResult], *, generator_late: bool, unreachable: str | None
) -> tuple[RunStatus, str]:
    nothing = _nothing_measured(run, unreachable)
    if nothing:
        return RunStatus.INCONCLUSIVE, nothing
    if run.sent < ACHIEVED_LEAST * run.requests:
        share = run.sent / run.requests
        return RunStatus.INCONCLUSIVE, f"only {share:.1%} of the asked requests could be sent; 95 % are needed to judge"
    if run.short:
        told = f"only {run.requests} of about {run.planned:.0f} asked requests are known of"
        return RunStatus.INCONCLUSIVE, f"{told}: the run ended before its plan did"
    if generator_late:
        return (
            RunStatus.INCONCLUSIVE,
            "the load generator was the bottleneck: its latency, not the target's, was measured",
        )
    broken = [result for result in results if result.passed is False]
    unknown = [result.text for result in results if result.passed is None]
    if broken:
        told = ", ".join(f"{r.text} (was {_measured(r.actual)})" for r in broken)
        return RunStatus.FAILED, f"{len(broken)} of {len(results)} thresholds did not hold: {told}"
    if not run.succeeded:
        return RunStatus.FAILED, f"not one of {run.requests} requests succeeded"
    if unknown:
        return RunStatus.INCONCLUSIVE, f"not measured: {', '.join(unknown)}"
    held = f"all {len(results)} thresholds held" if len(results) > 1 else "the threshold held"
    held = held if results else "there are no thresholds to judge by"
    weak = [result.text for result in results if result.supported is False]
    told = f"; too few requests to show {', '.join(weak)} at 99 % confidence" if weak else ""
    return RunStatus.PASSED, f"{run.requests} requests, {run.errors} errors; {held}{told}"


def _measured(actual: float | None) -> str:
    return "beyond measure" if actual is None else figure(actual)


def _each_part(parts: Sequence[SegmentResult], thresholds: Sequence[Threshold], held: str) -> tuple[RunStatus, str]:
    """What leaks or grows is slow at the end only: the whole holds, its last part does not.

    A part has fewer requests than the whole, so it fails only where chance does not explain it.
    """
    for number, part in enumerate(parts, 1):
        told = next((told for threshold in thresholds if (told := _beyond_chance(part, threshold, len(parts)))), None)
        if told is not None:
            return RunStatus.FAILED, f"over the whole all thresholds held, in part {number} of {len(parts)} not: {told}"
    return RunStatus.PASSED, f"{held}, in each of {len(parts)} parts"


def _beyond_chance(part: SegmentResult, threshold: Threshold, parts: int) -> str | None:
    """Return why a part breaks a percentile or the error limit beyond chance, at PART_LEVEL for all parts together.

    Of n requests k lie beyond the limit where at most the share p should: P(k or more) = I_p(k, n - k + 1), the
    binomial's tail by the regularised incomplete beta function.
    """
    count = len(part.ok)
    if threshold.metric == "error_ratio" and threshold.operator in ("<", "<="):
        over, share = int((~part.ok).sum()), threshold.limit
    elif threshold.metric == "latency_ms" and threshold.quantile is not None:
        late = np.where(np.isnan(part.latency_ms), np.inf, part.latency_ms)
        over, share = sum(not threshold.holds(value) for value in late), 1.0 - threshold.quantile
    else:
        return None
    if not over or over <= share * count or betainc(over, count - over + 1, share) > PART_LEVEL / parts:
        return None
    return f"{over} of {count} requests lie beyond {threshold}, where {share:.3g} of them may"


def _nothing_measured(run: _Run, unreachable: str | None) -> str | None:
    if unreachable is not None:
        return f"the target could not be reached: {unreachable}"
    if run.requests == 0:
        return "no request was made; nothing was measured"
    return None


def _search_status(
    run: _Run, steps: Sequence[CapacityStep], capacity: Capacity | None, unreachable: str | None
) -> tuple[RunStatus, str]:
    nothing = _nothing_measured(run, unreachable)
    if nothing:
        return RunStatus.INCONCLUSIVE, nothing
    if capacity is None:
        # The lowest rate that did not hold; a step in which no request was due says nothing.
        first = next((step for step in reversed(steps) if step.held is False), steps[-1] if steps else None)
        if first is None or first.held is None:
            return RunStatus.INCONCLUSIVE, first.reason if first else "no step was made"
        return RunStatus.FAILED, f"not even {figure(first.asked_rps, 3)} requests/s hold: {first.reason}"
    if capacity.limited_by == "generator":
        carried = f"at least {figure(capacity.rps, 3)} requests/s per replica hold"
        told = f"{carried}; beyond, the load generator was the bottleneck"
        return RunStatus.INCONCLUSIVE, told
    carried = f"one replica carries {figure(capacity.rps, 3)} requests/s within the thresholds"
    if capacity.high is None:
        return RunStatus.PASSED, f"{carried}; the highest rate asked for"
    return RunStatus.PASSED, f"{carried} (95 %: {figure(capacity.low, 3)} to {figure(capacity.high, 3)})"


def _best_step(
    thresholds: Sequence[Threshold],
    steps: Sequence[CapacityStep],
    measured: Sequence[SegmentResult],
    capacity: Capacity | None,
    replicas: int,
) -> tuple[ThresholdResult, ...]:
    """A search goes to where thresholds break, so they are told of the highest step that held up to the estimate."""
    shown = steps[-1] if steps else None
    if capacity is not None:
        held = [step for step in steps if step.held]
        within = [step for step in held if step.asked_rps <= capacity.rps * replicas * (1 + 1e-9)]
        shown = max(within or held, key=lambda step: step.asked_rps)
    result = next((result for result, step in zip(measured, steps, strict=True) if step is shown), None)
    return tuple(_result(threshold, _of_step(threshold, shown, result)) for threshold in thresholds)


def _of_step(threshold: Threshold, step: CapacityStep | None, result: SegmentResult | None) -> float | None:
    if step is None or result is None:
        return None
    if threshold.metric in OF_TOKENS_BY_REQUEST:
        return of_tokens(threshold, result)
    if threshold.metric == "error_ratio":
        return step.error_ratio
    if threshold.metric == "achieved_rate":
        return step.achieved_rps / step.asked_rps
    if threshold.metric == "requests":
        return float(step.requests)
    if threshold.metric == "rate_rps":
        return step.achieved_rps
    if threshold.metric == "latency_ms":
        return getattr(step.latency, threshold.aggregate or "", None)
    return None
