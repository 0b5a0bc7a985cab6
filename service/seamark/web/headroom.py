"""GET a model's headroom over a window: what its page shows, as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from seamark.core.findings import to_document
from seamark.engine.headroom import headroom
from seamark.web.asking import services_of, window
from seamark.web.auth import Principal, require

DEFAULT_S = 6 * 3600.0


def router() -> APIRouter:
    """The endpoint /headroom under /api/v1/models/{model}."""
    routes = APIRouter(prefix="/api/v1/models", tags=["autoscale"])

    @routes.get("/{model:path}/headroom")
    def of_model(
        request: Request,
        model: str,
        start: str | None = None,
        end: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """Load beside the safe line, replicas beside an HPA's, growth: of the last 6 hours unless asked otherwise."""
        who.check_model(model)
        services = services_of(request)
        found = headroom(services, model, window(services, start, end, DEFAULT_S), services.clock.now())
        document: dict[str, Any] = to_document(found)
        return document

    return routes
