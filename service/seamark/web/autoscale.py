"""How many replicas, why, and the manifest that makes a cluster follow."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.findings import Recommendation, to_document
from seamark.delivery.scalers import SCALERS
from seamark.engine.overview import current_advice
from seamark.engine.services import Services
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require


def router() -> APIRouter:
    """The endpoints under /api/v1/models/{model}/recommendation."""
    routes = APIRouter(prefix="/api/v1/models/{model:path}/recommendation", tags=["autoscale"])

    @routes.get("")
    def recommendation(request: Request, model: str, who: Principal = Depends(require("read"))) -> dict[str, Any]:
        """The newest recommendation; `hold` with the reason where something is unknown."""
        who.check_model(model)
        document: dict[str, Any] = to_document(latest(services_of(request), model))
        return document

    @routes.get("/manifest")
    def manifest(
        request: Request, model: str, kind: str = "keda", who: Principal = Depends(require("read"))
    ) -> Response:
        """YAML for a cluster: `kind` is keda or hpa."""
        who.check_model(model)
        services = services_of(request)
        if kind not in SCALERS:
            known = ", ".join(sorted(SCALERS))
            raise Invalid(
                f"kind={kind[:50]!r} is not a manifest; known are {known}", [Problem("kind", f"known: {known}")]
            )
        text = SCALERS[kind].render(latest(services, model), services.url)
        return Response(text, media_type="application/yaml")

    return routes


def latest(services: Services, model: str) -> Recommendation:
    """The newest recommendation of a model; NotFound says what is missing."""
    found = current_advice(services, model, services.clock.now())
    if found is not None:
        return found
    asked_for(services, model)
    raise NotFound(f"{model[:100]} has no recommendation yet; the first comes within seconds of an apply")


def asked_for(services: Services, model: str) -> None:
    """NotFound where nobody asked for recommendations of this model."""
    spec = services.configuration.model(model)
    if spec is None or spec.autoscale is None:
        raise NotFound(f"{model[:100]} has no `autoscale:` in seamark.yaml; give it min and max and apply")
