"""Load-test plans and runs -> the rows of their list, and one run's page while it runs and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from seamark.core.findings import LatencySummary, RunStatus, ThresholdResult, Verdict
from seamark.web.charts import Figure, progress_figures
from seamark.web.documents import asks_rate
from seamark.web.page_answers import AnswersView, answers_view
from seamark.web.page_baseline import BaselineView, baseline_view
from seamark.web.page_capacity import CapacityView, capacity_view
from seamark.web.page_views import Chip, model_url
from seamark.web.page_words import Moment, known, milliseconds, moment, number, parameters, percent, plural, rate, span
from seamark.wire.plan import ERROR_LIMIT

RUNS_PER_PLAN = 5
LIVE_TILES = (
    ("t_s", "Running for"),
    ("asked_rps", "Asked"),
    ("rate", "Answered"),
    ("failed", "Failed so far"),
    ("in_flight", "In flight"),
    ("p99_ms", "p99, this second"),
    ("lateness_p99_ms", "Sent late, p99"),
    ("cpu_ratio", "Generator's CPU"),
)


@dataclass(frozen=True)
class RunFacts:
    """A run as the catalog holds it; `document` is its plan in the words of seamark.yaml."""

    id: str
    plan: str
    model: str
    document: Mapping[str, Any]
    trigger: str  # "schedule" | "api" | "retry"
    status: RunStatus
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    stop_requested: bool
    verdict: Verdict | None
    attempt: int = 1
    retry_of: str | None = None
    retried_as: str | None = None
    waiting: str | None = None  # queued: what it waits for
    waiting_run: str | None = None  # and which run that is, if it is one


class MissedFacts(Protocol):
    """What a plan's schedule has missed; the store's Mark is one."""

    @property
    def missed(self) -> int: ...

    @property
    def missed_at(self) -> datetime | None: ...

    @property
    def missed_why(self) -> str: ...


@dataclass(frozen=True)
class PlanFacts:
    """A known plan with its last runs, newest first. `problem` says why it cannot run now; `next_at` its next cron."""

    name: str
    document: Mapping[str, Any]
    origin: str  # "config" | "api"
    problem: str | None
    next_at: datetime | None
    runs: Sequence[RunFacts]
    missed: MissedFacts | None = None


@dataclass(frozen=True)
class RunRow:
    """One run in a list."""

    id: str
    url: str
    plan: str
    model: str
    model_url: str
    chip: Chip
    reason: str
    trigger: str
    at: Moment | None
    lasted: str | None
    p99: str | None
    capacity: str | None
    ended: bool


@dataclass(frozen=True)
class PlanRow:
    """One plan in the list."""

    name: str
    run_url: str
    model: str
    model_url: str
    target: str
    shape: str
    thresholds: tuple[str, ...]
    schedule: str | None
    next: Moment | None
    missed: str | None
    missed_at: Moment | None
    origin: str
    problem: str | None
    last: Chip
    runs: tuple[RunRow, ...]


@dataclass(frozen=True)
class ThresholdRow:
    """One threshold, what was measured, and whether it held."""

    text: str
    actual: str | None
    chip: Chip


@dataclass(frozen=True)
class LatencyColumns:
    """One quantile of the three latencies, side by side."""

    quantile: str
    from_due: str | None
    from_sent: str | None
    lateness: str | None


@dataclass(frozen=True)
class Link:
    """Another run."""

    id: str
    url: str


@dataclass(frozen=True)
class RunPage:
    """The page of one run. `figures` and `last` grow in the browser while it runs."""

    row: RunRow
    target: str
    shape: str
    queued: Moment | None
    started: Moment | None
    ended: Moment | None
    events_url: str
    stop_url: str
    again_url: str
    api_url: str
    waiting: str | None
    waiting_on: Link | None
    attempt: str | None
    retry_of: Link | None
    retried_as: Link | None
    stop_requested: bool
    figures: Mapping[str, Figure]
    has_progress: bool
    live: tuple[tuple[str, str], ...]  # a figure's key in a line of progress, and its name
    counts: tuple[tuple[str, str], ...]
    thresholds: tuple[ThresholdRow, ...]
    latencies: tuple[LatencyColumns, ...]
    capacity: CapacityView | None
    generator_saturated: bool
    baseline: BaselineView | None
    answers: AnswersView | None
    notes: tuple[str, ...]
    error_kinds: tuple[tuple[str, str], ...]  # what was told, and by how many requests


_CHIPS = {
    RunStatus.QUEUED: Chip("quiet", "Queued"),
    RunStatus.RUNNING: Chip("live", "Running"),
    RunStatus.PASSED: Chip("good", "Passed"),
    RunStatus.FAILED: Chip("bad", "Failed"),
    RunStatus.INCONCLUSIVE: Chip("warn", "Inconclusive"),
    RunStatus.ABORTED: Chip("quiet", "Aborted"),
}


def plan_row(plan: PlanFacts, at: datetime) -> PlanRow:
    """Return one plan with its last runs."""
    document = plan.document
    model = str(document.get("model", ""))
    return PlanRow(
        name=plan.name,
        run_url=f"/api/v1/loadtests/{quote(plan.name, safe='')}/runs",
        model=model,
        model_url=model_url(model),
        target=str(document.get("target", "")),
        shape=shape_words(document),
        thresholds=_conditions(document),
        schedule=_schedule(document),
        next=moment(plan.next_at, at),
        missed=_missed_words(plan.missed),
        missed_at=moment(plan.missed.missed_at, at) if plan.missed else None,
        origin="seamark.yaml" if plan.origin == "config" else "API",
        problem=plan.problem,
        last=_CHIPS[plan.runs[0].status] if plan.runs else Chip("quiet", "Never run"),
        runs=tuple(run_row(run, at) for run in plan.runs[:RUNS_PER_PLAN]),
    )


def _missed_words(missed: MissedFacts | None) -> str | None:
    if missed is None or not missed.missed:
        return None
    return f"{plural(missed.missed, 'instant')} made no run; the last because {missed.missed_why}"


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _conditions(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The thresholds as written, and the one on errors that holds where none is."""
    written = tuple(str(text) for text in _items(document.get("thresholds")))
    return written if any("error_ratio" in text for text in written) else (*written, str(ERROR_LIMIT))


def _schedule(document: Mapping[str, Any]) -> str | None:
    schedule = document.get("schedule")
    return f"{schedule} {document.get('timezone', 'UTC')}" if schedule else None


def shape_words(document: Mapping[str, Any]) -> str:
    """Return a plan's shape on one line: `capacity: start 10/s · stop 2,000/s · step 20s`."""
    shape = document.get("shape")
    if not isinstance(shape, Mapping) or not shape:
        return "no shape"
    kind, values = next(iter(shape.items()))
    if isinstance(values, Mapping):
        return f"{kind}: {parameters(values)}"
    stages = [parameters(stage) for stage in _items(values) if isinstance(stage, Mapping)]
    more = f", then {len(stages) - 3} more" if len(stages) > 3 else ""
    return f"{kind}: {', then '.join(stages[:3])}{more}"


def run_row(run: RunFacts, at: datetime) -> RunRow:
    """Return one run as a list shows it."""
    ended = run.ended_at or (at if run.started_at else None)
    verdict = run.verdict
    return RunRow(
        id=run.id,
        url=f"/runs/{quote(run.id, safe='')}",
        plan=run.plan,
        model=run.model,
        model_url=model_url(run.model),
        chip=_CHIPS[run.status],
        reason=run.reason or (verdict.reason if verdict else ""),
        trigger={"schedule": "schedule", "api": "on demand", "retry": "retry"}.get(run.trigger, run.trigger),
        at=moment(run.started_at or run.created_at, at),
        lasted=span((ended - run.started_at).total_seconds()) if ended and run.started_at else None,
        p99=milliseconds(verdict.latency_ms.p99) if verdict else None,
        capacity=rate(verdict.capacity.rps) if verdict and verdict.capacity else None,
        ended=run.status.final,
    )


def run_page(run: RunFacts, progress: Sequence[Mapping[str, Any]], at: datetime) -> RunPage:
    """Return the page of one run; `progress` are its lines so far, in order."""
    verdict, api_url = run.verdict, f"/api/v1/runs/{quote(run.id, safe='')}"
    return RunPage(
        row=run_row(run, at),
        target=str(run.document.get("target", "")),
        shape=shape_words(run.document),
        queued=moment(run.created_at, at),
        started=moment(run.started_at, at),
        ended=moment(run.ended_at, at),
        events_url=f"{api_url}/events",
        stop_url=f"{api_url}/stop",
        again_url=f"/api/v1/loadtests/{quote(run.plan, safe='')}/runs",
        api_url=api_url,
        waiting=run.waiting,
        waiting_on=_run_link(run.waiting_run),
        attempt=_attempt_words(run),
        retry_of=_run_link(run.retry_of),
        retried_as=_run_link(run.retried_as),
        stop_requested=run.stop_requested,
        figures=progress_figures(progress, asked=asks_rate(run.document)) if progress or not run.status.final else {},
        has_progress=bool(progress),
        live=tuple(tile for tile in LIVE_TILES if tile[0] != "asked_rps" or asks_rate(run.document)),
        counts=_counts(verdict) if verdict else (),
        thresholds=tuple(_threshold_row(result) for result in verdict.thresholds) if verdict else (),
        latencies=_latencies(verdict) if verdict else (),
        capacity=capacity_view(verdict.capacity) if verdict and verdict.capacity else None,
        generator_saturated=bool(verdict and verdict.generator_saturated),
        baseline=baseline_view(verdict.baseline) if verdict and verdict.baseline else None,
        answers=answers_view(verdict) if verdict else None,
        notes=verdict.notes if verdict else (),
        error_kinds=_error_kinds(verdict) if verdict else (),
    )


def _error_kinds(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    return tuple((kind.error, f"{kind.count:,}") for kind in verdict.error_kinds)


def _attempt_words(run: RunFacts) -> str | None:
    retries = run.document.get("retries", 0)
    most = max(retries, run.attempt - 1) if isinstance(retries, int) else run.attempt - 1
    return f"{run.attempt} of at most {most + 1}" if most else None


def _run_link(run_id: str | None) -> Link | None:
    return Link(run_id, f"/runs/{quote(run_id, safe='')}") if run_id else None


def _counts(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    errors = percent(verdict.errors / verdict.requests) if verdict.requests else None
    return (
        ("Requests", f"{verdict.requests:,}"),
        ("Failed", f"{verdict.errors:,}" + (f" ({errors})" if errors else "")),
        ("Asked", _rate_words(verdict.asked_rate)),
        ("Achieved", _rate_words(verdict.achieved_rate)),
    )


def _rate_words(value: float | None) -> str:
    text = rate(value)
    return f"{text} requests/s" if text else "unknown"


def _threshold_row(result: ThresholdResult) -> ThresholdRow:
    chips = {True: Chip("good", "held"), False: Chip("bad", "broken"), None: Chip("quiet", "not measured")}
    return ThresholdRow(result.text, _actual_words(result), chips[result.passed])


def _actual_words(result: ThresholdResult) -> str | None:
    if "latency_ms" in result.text or "lateness_ms" in result.text:
        return milliseconds(result.actual)
    return percent(result.actual) if "ratio" in result.text or "achieved_rate" in result.text else number(result.actual)


def _latencies(verdict: Verdict) -> tuple[LatencyColumns, ...]:
    return tuple(
        LatencyColumns(
            quantile,
            milliseconds(_quantile(verdict.latency_ms, quantile)),
            milliseconds(_quantile(verdict.service_latency_ms, quantile)),
            milliseconds(_quantile(verdict.lateness_ms, quantile)),
        )
        for quantile in ("p50", "p95", "p99", "max")
    )


def _quantile(summary: LatencySummary, quantile: str) -> float | None:
    value: float | None = getattr(summary, quantile)
    return known(value)
