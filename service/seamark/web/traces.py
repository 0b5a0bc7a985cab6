"""Spans of one trace, and the requests that match."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.store import spans
from seamark.web.asking import among, services_of, window
from seamark.web.auth import Principal, require


def router() -> APIRouter:
    """The endpoints under /api/v1/traces."""
    routes = APIRouter(prefix="/api/v1/traces", tags=["traces"])

    @routes.get("")
    def search(
        request: Request,
        model: str | None = None,
        min_ms: float = Query(0.0, ge=0.0),
        status: str | None = None,
        start: str | None = None,
        end: str | None = None,
        limit: int = Query(50, ge=1, le=500),
        who: Principal = Depends(require("read")),
    ) -> list[dict[str, Any]]:
        """Requests, newest first; `status` is ok or error."""
        services = services_of(request)
        if who.model is not None:
            model = model or who.model
        if model is not None:
            who.check_model(model)
        wanted = among("status", status, ("ok", "error"))
        asked = window(services, start, end, 3600.0)
        chosen = wanted[0] if wanted else None
        return spans.search(services.lake, model=model, window=asked, min_ms=min_ms, status=chosen, limit=limit)

    @routes.get("/{trace_id}")
    def trace(request: Request, trace_id: str, who: Principal = Depends(require("read"))) -> list[dict[str, Any]]:
        """The spans of a trace, by start."""
        try:
            raw = bytes.fromhex(trace_id)
        except ValueError:
            raw = b""
        if len(raw) != 16:
            message = f"trace id {trace_id[:64]!r} is not usable: write 32 hex digits"
            raise Invalid(message, [Problem("trace_id", "32 hex digits")])
        found = [span for span in spans.trace(services_of(request).lake, raw) if who.may_touch(span["model"])]
        if not found:
            raise NotFound(f"there is no trace {trace_id}")
        return found

    return routes
