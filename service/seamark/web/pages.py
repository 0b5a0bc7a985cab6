"""GET / and what lies below it -> pages for people, server-rendered and readable without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from seamark.core.errors import Invalid, NotFound, SeamarkError
from seamark.core.windows import Window, format_duration
from seamark.web.asking import duration_s, instant, services_of, window
from seamark.web.auth import Principal, require
from seamark.web.feature_paths import feature_asked, headroom_asked
from seamark.web.page_assets import render, static_files
from seamark.web.page_distribution import distribution_page
from seamark.web.page_headroom import DEFAULT_WINDOW, WINDOWS, headroom_page
from seamark.web.page_model import model_page
from seamark.web.page_problem import problem_page, wants_page
from seamark.web.page_runs import plan_row, run_page, run_row
from seamark.web.page_source import EngineSource, PageSource
from seamark.web.page_traces import (
    AROUND_S,
    RANGES,
    ROWS_SHOWN,
    SORTS,
    STATUSES,
    TraceForm,
    search_of,
    trace_page,
    trace_rows,
)
from seamark.web.page_views import alerts_page, overview_page
from seamark.web.page_words import moment
from seamark.web.traces import model_asked, trace_bytes

__all__ = ["problem_page", "router", "static_files", "wants_page"]


def router(source_of: Callable[[Request], PageSource] | None = None) -> APIRouter:
    """The pages; `source_of` says where a request's facts come from (by default the application's services)."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    source = source_of or (lambda request: EngineSource(services_of(request)))
    _model_routes(routes, source)
    _run_routes(routes, source)
    _trace_routes(routes, source)

    @routes.get("/alerts")
    def alerts(request: Request, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """Firing, pending and lately resolved alerts."""

        def fill() -> dict[str, Any]:
            at = services_of(request).clock.now()
            shown = [a for a in source(request).alerts() if who.may_touch(a.rule.labels.get("model", ""))]
            return {"page": alerts_page(shown, at), "as_of": moment(at, at)}

        return _page(request, "alerts.html.j2", fill)

    return routes


def _model_routes(routes: APIRouter, source: Callable[[Request], PageSource]) -> None:
    @routes.get("/")
    def overview(request: Request, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """Every model with its load line."""

        def fill() -> dict[str, Any]:
            services = services_of(request)
            at = services.clock.now()
            models = [seen for seen in source(request).overviews(at) if who.may_touch(seen.model)]
            return {"page": overview_page(models), "as_of": moment(at, at), "service_url": services.url}

        return _page(request, "overview.html.j2", fill)

    # `:path`, because a model's name may hold a slash.
    @routes.get("/models/{model:path}")
    def model(request: Request, model: str, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """One model: latency, traffic, drift, quality, performance, objectives, advice, versions; or a part of it."""
        named = feature_asked(request, "/models/")
        if named is not None:
            return _feature_page(request, source, *named, who)
        whose = headroom_asked(request, "/models/")
        if whose is not None:
            return _headroom_page(request, source, whose, who)

        def fill() -> dict[str, Any]:
            who.check_model(model)
            at = services_of(request).clock.now()
            return {"page": model_page(source(request).model(model, at)), "as_of": moment(at, at)}

        return _page(request, "model.html.j2", fill, plots=True)


def _feature_page(
    request: Request, source: Callable[[Request], PageSource], model: str, feature: str, who: Principal
) -> HTMLResponse:
    """A feature in a window beside its reference; `at`, `window` and `version` as the API's endpoint takes them."""

    def fill() -> dict[str, Any]:
        who.check_model(model)
        at = services_of(request).clock.now()
        asked = request.query_params
        end = instant("at", asked.get("at"), at)
        span_s = duration_s("window", asked.get("window"), 0.0) or None
        found = source(request).feature(model, feature, asked.get("version"), end, span_s, at)
        return {"page": distribution_page(found, at), "as_of": moment(at, at)}

    return _page(request, "distribution.html.j2", fill)


def _headroom_page(
    request: Request, source: Callable[[Request], PageSource], model: str, who: Principal
) -> HTMLResponse:
    """Load and replicas over `range` (1h, 6h, 24h, 14d), or from `start` to `end` as the API's endpoint takes them."""

    def fill() -> dict[str, Any]:
        who.check_model(model)
        services = services_of(request)
        at, asked = services.clock.now(), request.query_params
        given = bool(asked.get("start") or asked.get("end"))
        chosen = asked.get("range") or DEFAULT_WINDOW
        if chosen not in WINDOWS:
            raise Invalid(f"range={chosen[:20]!r} is not usable: write {', '.join(WINDOWS)}, or start and end")
        over = window(services, asked.get("start"), asked.get("end"), WINDOWS[chosen])
        found = source(request).headroom(model, over, at)
        return {"page": headroom_page(found, None if given else chosen), "as_of": moment(at, at)}

    return _page(request, "headroom.html.j2", fill, plots=True)


def _run_routes(routes: APIRouter, source: Callable[[Request], PageSource]) -> None:
    @routes.get("/loadtests")
    def loadtests(request: Request, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """Plans with their last runs, and a button that runs one."""

        def fill() -> dict[str, Any]:
            at = services_of(request).clock.now()
            plans = [plan_row(plan, at) for plan in source(request).plans(at)]
            runs = [run_row(run, at) for run in source(request).runs()]
            return {
                "plans": [plan for plan in plans if who.may_touch(plan.model)],
                "runs": [run for run in runs if who.may_touch(run.model)],
                "as_of": moment(at, at),
            }

        return _page(request, "loadtests.html.j2", fill)

    @routes.get("/runs/{run_id}")
    def run(request: Request, run_id: str, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """One run: live while it runs, its verdict and evidence afterwards."""

        def fill() -> dict[str, Any]:
            at = services_of(request).clock.now()
            facts, progress = source(request).run(run_id)
            who.check_model(facts.model)
            return {"page": run_page(facts, progress, at), "as_of": moment(at, at)}

        return _page(request, "run.html.j2", fill, plots=True)


def _trace_routes(routes: APIRouter, source: Callable[[Request], PageSource]) -> None:
    @routes.get("/traces")
    def traces(request: Request, who: Principal = Depends(require("read"))) -> HTMLResponse:
        """Requests and spans by what people ask for, with the way to each trace."""
        at = services_of(request).clock.now()
        given = {f.name: request.query_params.get(f.name, "").strip() for f in fields(TraceForm)}
        form = TraceForm(**{name: value for name, value in given.items() if value})

        def fill() -> dict[str, Any]:
            shown: dict[str, Any] = {"form": form, "statuses": STATUSES, "sorts": SORTS, "ranges": list(RANGES)}
            shown |= {"rows": None, "summary": "", "problem": None, "as_of": moment(at, at)}
            try:
                asked = search_of(form, at, model_asked(who, form.model or None))
                found = source(request).requests(asked, ROWS_SHOWN)
            except Invalid as error:
                return {**shown, "problem": error.problems[0].message if error.problems else error.message}
            many = f"the first {ROWS_SHOWN}" if len(found) == ROWS_SHOWN else f"{len(found)} found"
            of = (
                f"of the {format_duration(asked.window.span_s)} asked for"
                if form.start
                else f"of the last {form.range}"
            )
            return {**shown, "rows": trace_rows(found, at), "summary": f"{many} {of}"}

        return _page(request, "traces.html.j2", fill)

    @routes.get("/traces/{trace_id}")
    def trace(
        request: Request, trace_id: str, at: str | None = None, who: Principal = Depends(require("read"))
    ) -> HTMLResponse:
        """One trace as a waterfall; `at` is an instant near it."""

        def fill() -> dict[str, Any]:
            now = services_of(request).clock.now()
            around = instant("at", at, now) if at else None
            reach = timedelta(seconds=AROUND_S)
            window = Window(around - reach, around + reach) if around else None
            found = source(request).trace(trace_bytes(trace_id), window, who.model)
            if not found.spans:
                raise NotFound(f"there is no trace {trace_id[:64]}" + (f" within a day of {at}" if around else ""))
            return {"page": trace_page(found, now), "around": moment(around, now), "as_of": moment(now, now)}

        return _page(request, "trace.html.j2", fill)


def _page(request: Request, template: str, fill: Callable[[], dict[str, Any]], *, plots: bool = False) -> HTMLResponse:
    """Render what `fill` returns; what it refuses becomes a page that says so."""
    try:
        return render(request, template, fill(), plots=plots)
    except SeamarkError as error:
        return problem_page(request, error.status, error.message)
