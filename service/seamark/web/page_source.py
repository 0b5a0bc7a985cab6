"""The engine's and the catalog's answers -> the facts each page is made of; the one place where pages fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from seamark.core.errors import NotFound
from seamark.core.findings import Alert, ModelOverview
from seamark.core.headroom import Headroom
from seamark.core.quality import FeatureQuality
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.delivery.scalers import SCALERS, Reached
from seamark.engine import drift_history, loadtest_schedule, loadtests, performance_history, quality
from seamark.engine import overview as glance
from seamark.engine.configuration import PlanView
from seamark.engine.distributions import Explained, explain
from seamark.engine.headroom import headroom
from seamark.engine.services import Services
from seamark.store import spans, tokens, traces
from seamark.store.catalog.runs import RunRecord
from seamark.store.traces import Search, Trace
from seamark.web import documents
from seamark.web.page_model import ModelFacts
from seamark.web.page_runs import RUNS_PER_PLAN, PlanFacts, RunFacts

LATENCY_SPAN_S = 3600.0
LATENCY_STEP_S = 15.0
RUNS_SHOWN = 50
Progress = Sequence[Mapping[str, Any]]


class PageSource(Protocol):
    """What pages are fetched from. Each call reads anew and may raise any SeamarkError; NotFound makes a 404 page."""

    def overviews(self, at: datetime) -> Sequence[ModelOverview]: ...

    def model(self, name: str, at: datetime) -> ModelFacts: ...

    def feature(
        self, model: str, feature: str, version: str | None, end: datetime, span_s: float | None, at: datetime
    ) -> Explained: ...

    def headroom(self, model: str, window: Window, at: datetime) -> Headroom: ...

    def plans(self, at: datetime) -> Sequence[PlanFacts]: ...

    def runs(self) -> Sequence[RunFacts]: ...

    def run(self, run_id: str) -> tuple[RunFacts, Progress]: ...

    def alerts(self) -> Sequence[Alert]: ...

    def requests(self, asked: Search, limit: int) -> Sequence[Mapping[str, Any]]: ...

    def trace(self, trace_id: bytes, window: Window | None, model: str | None) -> Trace: ...


class EngineSource:
    """Pages over the running service."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def overviews(self, at: datetime) -> Sequence[ModelOverview]:
        """Every model at a glance."""
        return glance.overviews(self._services, at)

    def model(self, name: str, at: datetime) -> ModelFacts:
        """One model with its last hour; NotFound where nothing is known of it."""
        services = self._services
        seen = glance.overview(services, name, at)
        window = Window.trailing(at, LATENCY_SPAN_S)
        advice, reached = seen.recommendation, Reached(services.url, services.grpc_port)
        return ModelFacts(
            overview=seen,
            latency=spans.latency_points(services.lake, name, window, LATENCY_STEP_S, by=("version",)),
            latency_step_s=LATENCY_STEP_S,
            tokens=tokens.token_steps(services.lake, name, window, LATENCY_SPAN_S, by=("gen_ai_model",)),
            quality=self._quality(seen),
            drift_history=drift_history.columns(services, name, at, seen.drift),
            performance_history=performance_history.steps(services, name, at) if seen.performance else (),
            manifests={kind: scaler.render(advice, reached) for kind, scaler in SCALERS.items()} if advice else {},
        )

    def feature(
        self, model: str, feature: str, version: str | None, end: datetime, span_s: float | None, at: datetime
    ) -> Explained:
        """One feature in the window that ends at `end`, of the length that the model is watched over by default."""
        window = Window.trailing(end, span_s or drift_history.window_span_s(self._services, model))
        return explain(self._services, model, version, window, feature, at)

    def headroom(self, model: str, window: Window, at: datetime) -> Headroom:
        """A model's headroom over a window (engine.headroom.headroom)."""
        return headroom(self._services, model, window, at)

    def _quality(self, seen: ModelOverview) -> Sequence[FeatureQuality]:
        """Quality of the window that drift was judged on, else of the last default window."""
        window = seen.drift.window if seen.drift else Window.trailing(seen.at, DriftSpec().window_s)
        try:
            return quality.assess(self._services, seen.model, None, window).features
        except NotFound:
            return ()

    def plans(self, at: datetime) -> Sequence[PlanFacts]:
        """Every plan with its last runs."""
        return [self._plan(view, at) for view in self._services.configuration.plans().values()]

    def _plan(self, view: PlanView, at: datetime) -> PlanFacts:
        runs = self._services.catalog.runs.recent(plan=view.name, limit=RUNS_PER_PLAN)
        next_at = loadtest_schedule.next_instant(view.plan, at) if view.plan else None
        return PlanFacts(
            view.name,
            view.document,
            view.origin,
            view.problem,
            next_at,
            [run_facts(run) for run in runs],
            self._services.catalog.schedule.of(view.name),
        )

    def runs(self) -> Sequence[RunFacts]:
        """The last runs of all plans, newest first."""
        return [run_facts(run) for run in self._services.catalog.runs.recent(limit=RUNS_SHOWN)]

    def run(self, run_id: str) -> tuple[RunFacts, Progress]:
        """One run and its progress so far; NotFound where there is none."""
        runs = self._services.catalog.runs
        record = runs.get(run_id)
        waiting = loadtests.waiting_for(self._services, record)
        facts = run_facts(record)
        if waiting:
            facts = replace(facts, waiting=waiting.reason, waiting_run=waiting.run_id)
        return facts, [documents.progress_line(facts.document, body) for _seq, body in runs.progress(run_id)]

    def alerts(self) -> Sequence[Alert]:
        """Every alert that ever left inactive."""
        return self._services.catalog.alerts.all()

    def requests(self, asked: Search, limit: int) -> Sequence[Mapping[str, Any]]:
        """Requests or spans that match (store.traces.find)."""
        return traces.find(self._services.lake, asked, limit)

    def trace(self, trace_id: bytes, window: Window | None, model: str | None) -> Trace:
        """One trace; without spans where there is none."""
        return traces.trace(self._services.lake, trace_id, window=window, model=model)


def run_facts(run: RunRecord) -> RunFacts:
    """Return a run's record as pages know it."""
    return RunFacts(
        id=run.id,
        plan=run.plan,
        model=run.model,
        document=run.document,
        trigger=run.trigger,
        status=run.status,
        reason=run.reason,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        stop_requested=run.stop_requested,
        verdict=run.verdict,
        attempt=run.attempt,
        retry_of=run.retry_of,
        retried_as=run.retried_as,
    )
