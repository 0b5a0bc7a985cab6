"""GET what is known of models; PUT the reference they are held against."""

from __future__ import annotations

import gzip
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from seamark.core.errors import Conflict, Invalid, NotFound, Problem
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.engine import drift as drifting
from seamark.engine.overview import overview, overviews
from seamark.engine.performance import measure
from seamark.engine.reports import current_report
from seamark.engine.services import Services
from seamark.store import spans
from seamark.web import documents
from seamark.web.asking import among, duration_s, instant, services_of, step_s, window
from seamark.web.auth import Principal, require
from seamark.web.bodies import read_body
from seamark.wire.rows import decode_rows

IGNORED_COLUMNS = frozenset({"prediction", "label", "target", "prediction_id", "at", "model", "version"})


def router() -> APIRouter:
    """The endpoints under /api/v1/models."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])
    read = Depends(require("read"))

    @routes.get("")
    def models(request: Request, who: Principal = read) -> list[dict[str, Any]]:
        """Every model at a glance: versions, rows, last seen, SLO, drift, headroom."""
        services = services_of(request)
        return [documents.model(o) for o in overviews(services, services.clock.now()) if who.may_touch(o.model)]

    @routes.get("/{model:path}/latency")
    def latency(
        request: Request,
        model: str,
        start: str | None = None,
        end: str | None = None,
        step: str | None = None,
        by: str | None = None,
        synthetic: bool = False,
        who: Principal = read,
    ) -> list[dict[str, Any]]:
        """Quantiles, counts and error ratios per step; `by` is any of version, route, instance."""
        who.check_model(model)
        services = services_of(request)
        asked = window(services, start, end, 3600.0)
        groups = among("by", by, ("version", "route", "instance"))
        points = spans.latency_points(
            services.lake, model, asked, step_s(step, asked), by=groups, synthetic=None if synthetic else False
        )
        return documents.latency(points)

    @routes.get("/{model:path}/drift")
    def drift(
        request: Request,
        model: str,
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        who: Principal = read,
    ) -> dict[str, Any]:
        """The window that ends at `at`, computed on demand."""
        who.check_model(model)
        services = services_of(request)
        return documents.drift(drifting.judge(services, model, version, _drift_window(services, model, at, window)))

    @routes.get("/{model:path}/quality")
    def quality(
        request: Request,
        model: str,
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        who: Principal = read,
    ) -> dict[str, Any]:
        """Nulls, values out of the reference's range and new categories in the window that ends at `at`."""
        who.check_model(model)
        services = services_of(request)
        asked = _drift_window(services, model, at, window)
        return documents.quality(model, asked, drifting.assess_quality(services, model, version, asked))

    @routes.get("/{model:path}/performance")
    def performance(
        request: Request, model: str, start: str | None = None, end: str | None = None, who: Principal = read
    ) -> dict[str, Any]:
        """Performance measured with the labels that have come, and how many that are."""
        who.check_model(model)
        services = services_of(request)
        return documents.performance(measure(services, model, None, window(services, start, end, 3600.0)))

    _reference_routes(routes)
    _report_route(routes)

    @routes.get("/{model:path}")
    def one(request: Request, model: str, who: Principal = read) -> dict[str, Any]:
        """One model at a glance."""
        who.check_model(model)
        services = services_of(request)
        return documents.model(overview(services, model, services.clock.now()))

    return routes


def _drift_window(services: Services, model: str, at: str | None, span: str | None) -> Window:
    spec = services.configuration.model(model)
    default_s = (spec.drift if spec and spec.drift else DriftSpec()).window_s
    return Window.trailing(instant("at", at, services.clock.now()), duration_s("window", span, default_s))


class _FromTraffic(msgspec.Struct, forbid_unknown_fields=True):
    """A reference that is a stretch of live traffic."""

    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")


def _reference_routes(routes: APIRouter) -> None:
    @routes.get("/{model:path}/reference")
    def get_reference(
        request: Request, model: str, version: str | None = None, who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """The reference in force."""
        who.check_model(model)
        found = services_of(request).catalog.references.current(model, version)
        if found is None:
            raise NotFound(f"{model[:100]} has no reference; PUT one here")
        return documents.reference(found)

    @routes.put("/{model:path}/reference", status_code=201)
    async def put_reference(
        request: Request, model: str, version: str = "", who: Principal = Depends(require("run"))
    ) -> dict[str, Any]:
        """Parquet, CSV, Arrow or JSON rows; or `{"from": ..., "to": ...}` of live traffic."""
        who.check_model(model)
        services = services_of(request)
        body = await read_body(request, services.max_body_bytes)
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        return await run_in_threadpool(_keep_reference, services, model, version, body, media_type)


def _keep_reference(services: Services, model: str, version: str, body: bytes, media_type: str) -> dict[str, Any]:
    at = services.clock.now()
    if media_type == "application/json" and body.lstrip()[:1] == b"{":
        return documents.reference(_from_traffic(services, model, version, body, at))
    schema, rows = decode_rows(body, media_type, ignore=IGNORED_COLUMNS)
    kept = drifting.put_reference(services, model, version, schema, rows, {"upload": media_type}, at)
    return documents.reference(kept)


def _from_traffic(services: Services, model: str, version: str, body: bytes, at: datetime) -> Any:
    try:
        asked = msgspec.json.decode(body, type=_FromTraffic)
    except msgspec.MsgspecError as error:
        right = 'send rows as a JSON array, or {"from": instant, "to": instant}'
        raise Invalid(f"the reference is not usable: {error}; {right}", [Problem("body", str(error))]) from None
    span = Window(instant("from", asked.start, at), instant("to", asked.end, at))
    return drifting.reference_from_traffic(services, model, version, span, at)


# Evidently's page brings its own inline scripts; it may run them, and reach nothing.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; sandbox allow-scripts"
)


def _report_route(routes: APIRouter) -> None:
    @routes.get("/{model:path}/drift/report")
    def report(
        request: Request,
        model: str,
        at: str | None = None,
        window: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Evidently's HTML page of a window: 202 while it is made; `at` or `window` ask for a new one."""
        who.check_model(model)
        services = services_of(request)
        asked = _drift_window(services, model, at, window)
        latest = current_report(services, model, asked, renew=bool(at or window))
        if latest.status == "failed":
            raise Conflict(f"the report could not be made: {latest.reason}; ask with ?at= or ?window= for another one")
        if latest.status != "ready":
            body = {"id": latest.id, "status": latest.status, "detail": "the report is being made; ask again soon"}
            return JSONResponse(body, status_code=202, headers={"Retry-After": "2"})
        headers = {"Content-Security-Policy": REPORT_POLICY, "Vary": "Accept-Encoding"}
        html = services.catalog.drift_reports.html(latest.id)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            html = gzip.decompress(html)
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)
