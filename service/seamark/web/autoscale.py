"""How many replicas, why, and the manifest that makes a cluster follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.findings import Recommendation, to_document
from seamark.delivery.scalers import SCALERS
from seamark.engine.services import Services
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require

STALE_S = 180.0


def router() -> APIRouter:
    """The endpoints under /api/v1/models/{model}/recommendation."""
    routes = APIRouter(prefix="/api/v1/models/{model}/recommendation", tags=["autoscale"])

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


def _stale(advice: Recommendation, age_s: float) -> Recommendation:
    """Old advice is no advice: a scaler that polls must not follow it, KEDA's fallback takes over on null."""
    reason = f"Hold: the last recommendation is {age_s:.0f} s old; no worker has evaluated {advice.model} since."
    return replace(advice, state="hold", replicas=None, current=None, headroom_ratio=None, reason=reason)


def latest(services: Services, model: str) -> Recommendation:
    """The newest recommendation of a model; NotFound says what is missing."""
    found = services.catalog.findings.latest(model, "recommendation", Recommendation)
    if found is not None:
        age_s = (services.clock.now() - found.at).total_seconds()
        return found.finding if age_s <= STALE_S else _stale(found.finding, age_s)
    spec = services.configuration.model(model)
    if spec is None or spec.autoscale is None:
        raise NotFound(f"{model[:100]} has no `autoscale:` in seamark.yaml; give it min and max and apply")
    raise NotFound(f"{model[:100]} has no recommendation yet; the first comes within seconds of an apply")
