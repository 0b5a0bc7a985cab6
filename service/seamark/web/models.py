"""GET what is known of models."""

from __future__ import annotations

import gzip
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from seamark.core.errors import Conflict
from seamark.engine.overview import overview, overviews
from seamark.engine.reports import current_report
from seamark.store import spans
from seamark.web import documents
from seamark.web.asking import among, drift_window, services_of, step_s, window
from seamark.web.auth import Principal, require
from seamark.web.performance import performance_routes


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

    performance_routes(routes)
    _report_route(routes)

    @routes.get("/{model:path}")
    def one(request: Request, model: str, who: Principal = read) -> dict[str, Any]:
        """One model at a glance."""
        who.check_model(model)
        services = services_of(request)
        return documents.model(overview(services, model, services.clock.now()))

    return routes


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
        asked = drift_window(services, model, at, window)
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
