"""GET how far features drifted and how good the data are: of a window, a version, a segment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from seamark.engine import drift, quality
from seamark.web import documents
from seamark.web.asking import drift_window, segments_of, services_of
from seamark.web.auth import Principal, require

Segment = Annotated[list[str] | None, Query(description="label:value; of several, all must match")]


def router() -> APIRouter:
    """The endpoints under /api/v1/models that judge a window's data."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])
    read = Depends(require("read"))

    @routes.get("/{model:path}/drift")
    def judge(
        request: Request,
        model: str,
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        segment: Segment = None,
        who: Principal = read,
    ) -> dict[str, Any]:
        """The window that ends at `at`, computed on demand."""
        who.check_model(model)
        services = services_of(request)
        asked = drift_window(services, model, at, window)
        return documents.drift(drift.judge(services, model, version, asked, segments=segments_of(segment)))

    @routes.get("/{model:path}/quality")
    def assess(
        request: Request,
        model: str,
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        segment: Segment = None,
        who: Principal = read,
    ) -> dict[str, Any]:
        """Nulls, ranges, new categories, constants, repeats and changes of schema in the window that ends at `at`."""
        who.check_model(model)
        services = services_of(request)
        asked = drift_window(services, model, at, window)
        return documents.quality(quality.assess(services, model, version, asked, segments=segments_of(segment)))

    return routes
