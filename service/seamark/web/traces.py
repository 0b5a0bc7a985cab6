"""Spans of one trace, and the requests or spans that match."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import traces
from seamark.store.traces import Search
from seamark.web.asking import among, services_of, window
from seamark.web.auth import Principal, require
from seamark.wire import traceql

EARLIEST = "1971-01-01T00:00:00Z"


def router() -> APIRouter:
    """The endpoints under /api/v1/traces."""
    routes = APIRouter(prefix="/api/v1/traces", tags=["traces"])

    @routes.get("")
    def search(
        request: Request,
        model: str | None = None,
        q: str | None = None,
        min_ms: float = Query(0.0, ge=0.0),
        status: str | None = None,
        sort: str | None = None,
        start: str | None = None,
        end: str | None = None,
        limit: int = Query(50, ge=1, le=500),
        who: Principal = Depends(require("read")),
    ) -> list[dict[str, Any]]:
        """Requests; with `q` (a TraceQL condition) every span that matches. `status` is ok or error.

        `sort` is newest (the default) or slowest.
        """
        services = services_of(request)
        asked = Search(
            window=window(services, start, end, 3600.0),
            model=model_asked(who, model),
            condition=traceql.parse(q) if q else traceql.EVERYTHING,
            min_ms=min_ms or None,
            status=one_of("status", status, ("ok", "error")),
            requests_only=not q,
            slowest=one_of("sort", sort, ("newest", "slowest")) == "slowest",
        )
        return traces.find(services.lake, asked, limit)

    @routes.get("/{trace_id}")
    def trace(
        request: Request,
        response: Response,
        trace_id: str,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> list[dict[str, Any]]:
        """The spans of a trace, by start; of a very large one the first: X-Total-Count says how many there are.

        `start` and `end` say when the trace's spans began, and make it quick to find.
        """
        services = services_of(request)
        found = one_trace(services, trace_id, span_window(services, start, end), who)
        response.headers["X-Total-Count"] = str(found.total)
        return found.spans

    return routes


def one_trace(services: Services, trace_id: str, within: Window | None, who: Principal) -> traces.Trace:
    """Return the part of a trace that `who` may read; NotFound where there is none, Invalid for a bad id."""
    found = traces.trace(services.lake, trace_bytes(trace_id), window=within, model=who.model)
    if not found.spans:
        raise NotFound(f"there is no trace {trace_id}" + (" that began within start and end" if within else ""))
    return found


def trace_bytes(trace_id: str) -> bytes:
    """Return an id of 32 hex digits, or fewer of them (older tracers write 16), padded in front; Invalid if none.

    >>> trace_bytes("ABCDEF0123456789").hex()
    '0000000000000000abcdef0123456789'
    """
    if not 0 < len(trace_id) <= 32 or not set(trace_id.lower()) <= set("0123456789abcdef"):
        message = f"trace id {trace_id[:64]!r} is not usable: write up to 32 hex digits"
        raise Invalid(message, [Problem("trace_id", "up to 32 hex digits")])
    return bytes.fromhex(trace_id.zfill(32))


def span_window(services: Services, start: str | None, end: str | None) -> Window | None:
    """Return the window that start and end name, None where neither is given."""
    if not start and not end:
        return None
    return window(services, start or EARLIEST, end, 0.0)


def model_asked(who: Principal, model: str | None) -> str | None:
    """Return the one model to read: as asked, or the one a key is bound to; NotPermitted for another."""
    if who.model is not None:
        model = model or who.model
    if model is not None:
        who.check_model(model)
    return model


def one_of(name: str, text: str | None, allowed: tuple[str, ...]) -> str | None:
    """Return the one allowed word, None where none was given."""
    words = among(name, text, allowed)
    return words[0] if words else None
