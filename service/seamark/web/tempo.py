"""The part of Grafana Tempo's HTTP API that Grafana's Tempo data source needs, under /tempo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import PlainTextResponse, Response

from seamark import __version__
from seamark.core.errors import Invalid, NotFound, SeamarkError
from seamark.core.windows import Window
from seamark.store import trace_tags, traces
from seamark.store.traces import Search, Trace
from seamark.web.asking import duration_s, services_of, window
from seamark.web.auth import Principal, require
from seamark.web.traces import one_trace, span_window
from seamark.wire import tempo, traceql
from seamark.wire.traceql import Both, Comparison, Condition, Field, Intrinsic, Scope

PROTOBUF = "application/protobuf"
SEARCH_WINDOW_S = 3600.0  # where start and end are not given
NO_METRICS = "TraceQL metrics are not offered here; latency and error series are on /metrics for Prometheus\n"

Answer = Callable[[], Response]


def router() -> APIRouter:
    """The endpoints under /tempo/api."""
    routes = APIRouter(prefix="/tempo/api", include_in_schema=False, dependencies=[Depends(require("read"))])
    _status_routes(routes)
    _trace_routes(routes)
    _search_routes(routes)
    _tag_routes(routes)
    return routes


def _status_routes(routes: APIRouter) -> None:
    @routes.get("/echo")
    def echo() -> Response:
        """Grafana's test of a data source."""
        return PlainTextResponse("echo")

    @routes.get("/status/buildinfo")
    def buildinfo() -> Response:
        """Seamark's own version: below every Tempo's, so that Grafana asks for no streaming."""
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return _json({"version": __version__, **empty})

    @routes.get("/metrics/query_range")
    @routes.get("/metrics/query")
    def metrics() -> Response:
        """Said plainly, so that nobody looks for a fault."""
        return PlainTextResponse(NO_METRICS, HTTPStatus.NOT_IMPLEMENTED)


def _trace_routes(routes: APIRouter) -> None:
    @routes.get("/v2/traces/{trace_id}")
    def trace_v2(
        request: Request,
        trace_id: str,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """One trace, with a word on whether it is all of it."""

        def fill() -> Response:
            found = _trace(request, trace_id, start, end, who)
            if _wants_protobuf(request):
                return Response(tempo.trace_by_id_protobuf(found.spans, _partial(found)), media_type=PROTOBUF)
            return _json(tempo.trace_by_id_json(found.spans, _partial(found)))

        return _answer(fill)

    @routes.get("/traces/{trace_id}")
    def trace_v1(
        request: Request,
        trace_id: str,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """One trace."""

        def fill() -> Response:
            found = _trace(request, trace_id, start, end, who)
            if _wants_protobuf(request):
                return Response(tempo.trace_protobuf(found.spans), media_type=PROTOBUF)
            return _json(tempo.trace_json(found.spans))

        return _answer(fill)


def _search_routes(routes: APIRouter) -> None:
    @routes.get("/search")
    def search(
        request: Request,
        q: str | None = None,
        tags: str | None = None,
        min_duration: str | None = Query(None, alias="minDuration"),
        max_duration: str | None = Query(None, alias="maxDuration"),
        limit: int = Query(20, ge=1),
        spss: int = Query(3, ge=0),
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Traces with spans that match, newest first. More than TRACES_MAX are not given, whatever `limit` says."""

        def fill() -> Response:
            condition = traceql.parse(q) if q else traceql.parse_tags(tags or "")
            asked = Both(
                (condition, *_lasting(">=", "minDuration", min_duration), *_lasting("<=", "maxDuration", max_duration))
            )
            within = _window(request, start, end)
            found = traces.find_traces(services_of(request).lake, Search(within, who.model, asked), limit, spss)
            return _json({"traces": [tempo.trace_found(asdict(one), condition) for one in found], "metrics": {}})

        return _answer(fill)


def _tag_routes(routes: APIRouter) -> None:
    def names(request: Request, start: str | None, end: str | None, who: Principal) -> dict[Scope, list[str]]:
        return trace_tags.tag_names(services_of(request).lake, _window(request, start, end), model=who.model)

    def values(request: Request, tag: str, q: str | None, within: Window, who: Principal) -> list[tuple[str, str]]:
        lake = services_of(request).lake
        return trace_tags.tag_values(lake, _field(tag), within, model=who.model, condition=_filter(q))

    @routes.get("/v2/search/tags")
    def tags_v2(
        request: Request,
        scope: str | None = None,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Names of attributes by scope."""
        return _answer(lambda: _json(tempo.scoped_tags(names(request, start, end, who), scope or None)))

    @routes.get("/search/tags")
    def tags_v1(
        request: Request,
        scope: str | None = None,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Names of attributes."""
        return _answer(lambda: _json(tempo.flat_tags(names(request, start, end, who), scope or None)))

    # `:path`, because a name may hold a slash.
    @routes.get("/v2/search/tag/{tag:path}/values")
    def values_v2(
        request: Request,
        tag: str,
        q: str | None = None,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Values of one attribute with their types, of spans that match `q`."""
        return _answer(lambda: _json(tempo.typed_values(values(request, tag, q, _window(request, start, end), who))))

    @routes.get("/search/tag/{tag:path}/values")
    def values_v1(
        request: Request,
        tag: str,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> Response:
        """Values of one attribute."""
        return _answer(lambda: _json(tempo.flat_values(values(request, tag, None, _window(request, start, end), who))))


def _trace(request: Request, trace_id: str, start: str | None, end: str | None, who: Principal) -> Trace:
    services = services_of(request)
    return one_trace(services, trace_id, span_window(services, _given(start), _given(end)), who)


def _partial(found: Trace) -> str | None:
    if not found.partial:
        return None
    return f"this trace has {found.total:,} spans; the first {len(found.spans):,} are shown"


def _window(request: Request, start: str | None, end: str | None) -> Window:
    return window(services_of(request), _given(start), _given(end), SEARCH_WINDOW_S)


def _given(instant: str | None) -> str | None:
    """Grafana writes 0 for an instant it does not know."""
    return instant if instant and instant.strip("0.") else None


def _lasting(operator: str, name: str, text: str | None) -> tuple[Condition, ...]:
    if not text:
        return ()
    nanos = round(duration_s(name, text, 0.0, least_s=0.0) * 1e9)
    return (Comparison(Field(Scope.INTRINSIC, Intrinsic.TRACE_DURATION), operator, nanos),)


def _field(tag: str) -> Field:
    """The field a tag names. Grafana encodes it twice, and the first API knows no scopes."""
    name = unquote(tag)
    if name in traceql.INTRINSICS or name.startswith(("span.", "resource.", ".")):
        return traceql.parse_field(name)
    return Field(Scope.ANY, name)


def _filter(q: str | None) -> Condition:
    """What narrows the values; a query that is still being written narrows nothing."""
    try:
        return traceql.parse(q) if q else traceql.EVERYTHING
    except Invalid:
        return traceql.EVERYTHING


def _wants_protobuf(request: Request) -> bool:
    return PROTOBUF in request.headers.get("accept", "")


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")


def _answer(fill: Answer) -> Response:
    """Return what `fill` answers; what it refuses as the plain text that Grafana shows."""
    try:
        return fill()
    except NotFound:
        return PlainTextResponse("trace not found\n", HTTPStatus.NOT_FOUND)
    except SeamarkError as error:
        status = HTTPStatus.BAD_REQUEST if isinstance(error, Invalid) else HTTPStatus(error.status)
        headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
        return PlainTextResponse(error.message + "\n", status, headers)
