"""Plans in, runs out: the endpoints CI calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from seamark.core.errors import Conflict
from seamark.delivery import load_workers
from seamark.engine import loadtest_schedule, run_reports, run_traces
from seamark.engine import loadtests as tests
from seamark.engine.configuration import PlanView
from seamark.engine.services import Services
from seamark.store.catalog.runs import RunRecord
from seamark.store.catalog.schedule import Mark
from seamark.web import documents
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import read_object

WAIT_MAX_S = 3600.0
EVENTS_EVERY_S = 1.0
RECONNECT_MS = 1000  # how soon a browser that lost the stream comes back, with the last id it heard


def router() -> APIRouter:
    """The endpoints under /api/v1/loadtests and /api/v1/runs."""
    routes = APIRouter(prefix="/api/v1", tags=["load tests"])
    _plan_routes(routes)
    _worker_routes(routes)
    _start_routes(routes)
    _run_routes(routes)
    return routes


def _plan_routes(routes: APIRouter) -> None:
    @routes.get("/loadtests")
    def plans(request: Request, who: Principal = Depends(require("read"))) -> list[dict[str, Any]]:
        """Every plan, from seamark.yaml and from the API."""
        services = services_of(request)
        at = services.clock.now()
        views = [v for v in services.configuration.plans().values() if who.may_touch(str(v.document.get("model")))]
        marks = services.catalog.schedule.all()
        return [_plan_document(v, marks.get(v.name), at) for v in views]

    @routes.get("/loadtests/{name}")
    def plan(request: Request, name: str, who: Principal = Depends(require("read"))) -> dict[str, Any]:
        """One plan."""
        services = services_of(request)
        view = services.configuration.plan_view(name)
        who.check_model(str(view.document.get("model")))
        return _plan_document(view, services.catalog.schedule.of(name), services.clock.now())

    @routes.put("/loadtests/{name}")
    async def put_plan(request: Request, name: str, who: Principal = Depends(require("run"))) -> dict[str, Any]:
        """Write a plan; its target must be on targets.allow of the configuration in force."""
        return await run_in_threadpool(_put, services_of(request), name, await read_object(request), who)

    @routes.delete("/loadtests/{name}", status_code=204)
    def delete_plan(request: Request, name: str, who: Principal = Depends(require("run"))) -> Response:
        """Forget a plan of the API; its runs stay."""
        services = services_of(request)
        _check_held(services, name, who)
        services.configuration.delete_plan(name)
        return Response(status_code=204)


def _worker_routes(routes: APIRouter) -> None:
    @routes.get("/loadtests/{name}/join")
    def join(request: Request, name: str, who: Principal = Depends(require("run"))) -> dict[str, Any]:
        """Where a worker of another machine joins the plan's run under way, and the token it shows there."""
        services = services_of(request)
        _check_held(services, name, who)
        services.configuration.plan_view(name)
        return vars(services.catalog.joins.of_plan(name))

    @routes.get("/loadtests/{name}/workers.yaml")
    def workers(request: Request, name: str, who: Principal = Depends(require("read"))) -> Response:
        """A Kubernetes Job of the plan's remote workers."""
        services = services_of(request)
        plan = services.configuration.plan(name)
        who.check_model(plan.model)
        return PlainTextResponse(load_workers.render(plan, services.url), media_type="application/yaml")


def _start_routes(routes: APIRouter) -> None:
    @routes.post("/loadtests/{name}/runs", status_code=202)
    async def start(
        request: Request,
        name: str,
        wait: float = Query(0.0, ge=0.0, le=WAIT_MAX_S, description="seconds to wait for the run's end"),
        who: Principal = Depends(require("run")),
    ) -> Response:
        """Ask for a run. With `wait`, the answer is the ended run (200), or 202 where it has not ended by then.

        Of a run whose worker went away it is the run that makes it again, where the plan has `retries`.
        """
        services = services_of(request)
        await run_in_threadpool(_check_held, services, name, who)
        record = await run_in_threadpool(tests.enqueue, services, name, services.clock.now())
        if wait:
            record = await _ended(services, record, wait, request.app.state.stopping)
        status = 200 if record.status.final else 202
        document = await run_in_threadpool(_run_document, services, record)
        return JSONResponse(document, status, headers={"Location": f"/api/v1/runs/{record.id}"})

    @routes.get("/loadtests/{name}/runs")
    def runs_of(
        request: Request,
        name: str,
        limit: int = Query(50, ge=1, le=500),
        who: Principal = Depends(require("read")),
    ) -> list[dict[str, Any]]:
        """A plan's runs, newest first."""
        services = services_of(request)
        runs = services.catalog.runs.recent(plan=name, limit=limit)
        if not runs:
            services.configuration.plan_view(name)  # NotFound: a typing error must not look like "never run"
        return [documents.run(record) for record in runs if who.may_touch(record.model)]


def _put(services: Services, name: str, document: dict[str, Any], who: Principal) -> dict[str, Any]:
    at = services.clock.now()
    who.check_model(str(document.get("model")))
    _check_held(services, name, who)
    services.configuration.put_plan(name, document, at)
    view = services.configuration.plan_view(name)
    return _plan_document(view, services.catalog.schedule.of(name), at)


def _plan_document(view: PlanView, mark: Mark | None, at: datetime) -> dict[str, Any]:
    return documents.plan(view, loadtest_schedule.next_instant(view.plan, at) if view.plan else None, mark)


def _check_held(services: Services, name: str, who: Principal) -> None:
    """A key that is bound to one model starts and changes that model's tests only."""
    view = services.configuration.plans().get(name)
    if view is not None:
        who.check_model(str(view.document.get("model")))


async def _ended(services: Services, record: RunRecord, wait_s: float, stopping: asyncio.Event) -> RunRecord:
    """Return the run when it has ended, or the run that makes it again, and so on; as it is where the wait is over."""
    deadline_s = services.clock.monotonic_s() + wait_s
    while True:
        if record.retried_as is None:
            if record.status.final or stopping.is_set() or services.clock.monotonic_s() >= deadline_s:
                return record
            await services.clock.sleep(0.25)
        # One that is made again is no answer, whatever time it is: the next one is.
        record = await run_in_threadpool(services.catalog.runs.get, record.retried_as or record.id)


def _run_routes(routes: APIRouter) -> None:
    read = Depends(require("read"))

    @routes.get("/runs/{run_id}")
    def run(request: Request, run_id: str, who: Principal = read) -> dict[str, Any]:
        """One run."""
        services = services_of(request)
        return _run_document(services, _run(services, run_id, who))

    @routes.get("/runs/{run_id}/events")
    async def events(
        request: Request,
        run_id: str,
        who: Principal = read,
        last_event_id: str | None = Header(None, description="the last `id` that was received: its lines stay out"),
    ) -> StreamingResponse:
        """Live progress as server-sent events: `waiting` while it is queued, `progress` once a second, `end`."""
        services = services_of(request)
        await run_in_threadpool(_run, services, run_id, who)
        stream = _stream(services, run_id, _seq(last_event_id), request.app.state.stopping)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    @routes.get("/runs/{run_id}/junit.xml")
    def junit(request: Request, run_id: str, who: Principal = read) -> Response:
        """The verdict as JUnit XML: one test case per threshold."""
        services = services_of(request)
        return Response(run_reports.junit(services, _final(services, run_id, who)), media_type="application/xml")

    @routes.get("/runs/{run_id}/report.md")
    def markdown(request: Request, run_id: str, who: Principal = read) -> Response:
        """The verdict as Markdown, for a CI job's summary."""
        services = services_of(request)
        text = run_reports.markdown(services, _final(services, run_id, who), who.model)
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")

    @routes.get("/runs/{run_id}/report.html")
    def html(request: Request, run_id: str, who: Principal = read) -> Response:
        """The verdict as a page with plots."""
        services = services_of(request)
        page, policy = run_reports.html(services, _final(services, run_id, who), who.model)
        return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})

    @routes.get("/runs/{run_id}/traces")
    def traces(request: Request, run_id: str, who: Principal = read) -> dict[str, Any]:
        """Where the server's time went: spans of the run's requests by name, and its slowest requests."""
        services = services_of(request)
        return documents.run_traces(run_traces.of_run(services, _run(services, run_id, who), who.model))

    @routes.post("/runs/{run_id}/stop")
    def stop(request: Request, run_id: str, who: Principal = Depends(require("run"))) -> dict[str, Any]:
        """Ask a run to stop; it ends as aborted."""
        services = services_of(request)
        _run(services, run_id, who)
        return documents.run(services.catalog.runs.request_stop(run_id, services.clock.now()))


def _run(services: Services, run_id: str, who: Principal) -> RunRecord:
    record = services.catalog.runs.get(run_id)
    who.check_model(record.model)
    return record


def _final(services: Services, run_id: str, who: Principal) -> RunRecord:
    record = _run(services, run_id, who)
    if not record.status.final:
        raise Conflict(f"run {run_id} is {record.status.value}; its report comes when it has ended")
    return record


def _run_document(services: Services, record: RunRecord) -> dict[str, Any]:
    return documents.run(record, tests.waiting_for(services, record))


def _seq(last_event_id: str | None) -> int:
    """The line after which to go on; a browser sends what it was given, anything else begins anew."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else -1


async def _stream(services: Services, run_id: str, after: int, stopping: asyncio.Event) -> AsyncIterator[str]:
    yield f"retry: {RECONNECT_MS}\n\n"
    told, seq = "", after
    while not stopping.is_set():
        record = await run_in_threadpool(services.catalog.runs.get, run_id)
        for seq, body in await run_in_threadpool(services.catalog.runs.progress, run_id, seq):  # noqa: B020
            yield f"id: {seq}\nevent: progress\ndata: {json.dumps(documents.progress_line(record.document, body))}\n\n"
        if record.status.final:
            ended = {"status": record.status.value, "reason": record.reason, "retried_as": record.retried_as}
            yield f"event: end\ndata: {json.dumps(ended)}\n\n"
            return
        waiting = await run_in_threadpool(tests.waiting_for, services, record)
        if waiting is not None and waiting.reason != told:
            told = waiting.reason
            yield f"event: waiting\ndata: {json.dumps({'reason': told, 'run_id': waiting.run_id})}\n\n"
        else:
            yield ": alive\n\n"
        try:
            await services.clock.sleep(EVENTS_EVERY_S)
        except asyncio.CancelledError:
            return
