"""An ended run and its samples -> JUnit, Markdown and HTML."""

from __future__ import annotations

from seamark.delivery import reports
from seamark.engine import run_traces
from seamark.engine.services import Services
from seamark.store import load_samples
from seamark.store.catalog.runs import RunRecord


def junit(services: Services, run: RunRecord) -> str:
    """The verdict as JUnit XML."""
    return reports.junit(_report(services, run, None, traced=False))


def markdown(services: Services, run: RunRecord, model: str | None = None) -> str:
    """The verdict as Markdown, with the spans of `model` alone, None: of all."""
    return reports.markdown(_report(services, run, model, traced=True))


def html(services: Services, run: RunRecord, model: str | None = None) -> tuple[str, str]:
    """The verdict as a page that stands alone, and the content security policy it is to be served with."""
    return reports.html(_report(services, run, model, traced=True)), reports.POLICY


def _report(services: Services, run: RunRecord, model: str | None, *, traced: bool) -> reports.RunReport:
    samples = load_samples.samples(services.lake, run.id)
    errors, error_kinds = reports.errors_by_kind(samples)
    progress = [body for _seq, body in services.catalog.runs.progress(run.id)]
    return reports.RunReport(
        run_id=run.id,
        plan=run.plan,
        document=run.document,
        status=run.status,
        reason=run.reason,
        started_at=run.started_at,
        ended_at=run.ended_at,
        verdict=run.verdict,
        series=reports.series(samples),
        segments=run.segments,
        distribution=reports.distribution(samples),
        traces=run_traces.of_run(services, run, model, samples) if traced else None,
        traces_url=f"{services.url}/traces/",
        errors=errors,
        error_kinds=error_kinds,
        generator=reports.generator(progress),
        url=f"{services.url}/runs/{run.id}",
        trigger=run.trigger,
    )
