"""How many replicas, why, and the manifest that makes a cluster follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response

from seamark.compute.replay import departures, replay
from seamark.core.advice import Recommendation
from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.findings import to_document
from seamark.core.windows import format_duration
from seamark.delivery.scalers import SCALERS, Reached
from seamark.engine.advice_store import whole
from seamark.engine.maintain import ADVICE_KEPT
from seamark.engine.overview import current_advice
from seamark.engine.services import Services
from seamark.web.asking import POINTS_MAX, instant, services_of, window
from seamark.web.auth import Principal, require

PLOT_S = 6 * 3600.0
PLOTTED = ("state", "replicas", "current", "needed", "arrivals_rps", "capacity_rps", "headroom_ratio", "reason")


def router() -> APIRouter:
    """The endpoints /api/v1/models/{model}/recommendation and /recommendations."""
    routes = APIRouter(prefix="/api/v1/models/{model:path}", tags=["autoscale"])

    @routes.get("/recommendation")
    def recommendation(
        request: Request, model: str, at: str | None = None, who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """The newest recommendation; `hold` with the reason where something is unknown.

        With `at` the newest that was made by then, as it was made: with its inputs, and its own `at`.
        """
        who.check_model(model)
        services = services_of(request)
        found = latest(services, model) if not at else past(services, model, instant("at", at, services.clock.now()))
        document: dict[str, Any] = to_document(found)
        return document

    @routes.get("/recommendation/replay")
    def replayed(
        request: Request, model: str, at: str | None = None, who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """The newest recommendation made by `at` (now), made again from what is stored of it, and what departs.

        `again` and `departures` are null where it was stored by a version that did not keep what that takes.
        """
        who.check_model(model)
        services = services_of(request)
        now = services.clock.now()
        return _replayed(past(services, model, instant("at", at, now) if at else now))

    @routes.get("/recommendations")
    def recommendations(
        request: Request,
        model: str,
        start: str | None = None,
        end: str | None = None,
        limit: int = Query(500, ge=1, le=POINTS_MAX),
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """Past recommendations for a plot, oldest first: of the last 6 hours unless asked otherwise.

        Where the window holds more than `limit`, every n-th is given; `made` is how many there are.
        """
        who.check_model(model)
        services = services_of(request)
        asked = window(services, start, end, PLOT_S)
        found, made = services.catalog.findings.thinned(model, "recommendation", Recommendation, asked, limit)
        return {
            "model": model,
            "start": to_document(asked.start),
            "end": to_document(asked.end),
            "made": made,
            "recommendations": [_point(one.finding) for one in found],
        }

    @routes.get("/recommendation/manifest")
    def manifest(
        request: Request, model: str, kind: str = "keda", who: Principal = Depends(require("read"))
    ) -> Response:
        """YAML for a cluster: `kind` is keda, keda-external, keda-prometheus or hpa."""
        who.check_model(model)
        services = services_of(request)
        if kind not in SCALERS:
            known = ", ".join(sorted(SCALERS))
            raise Invalid(
                f"kind={kind[:50]!r} is not a manifest; known are {known}", [Problem("kind", f"known: {known}")]
            )
        text = SCALERS[kind].render(latest(services, model), Reached(services.url, services.grpc_port))
        return Response(text, media_type="application/yaml")

    return routes


def _replayed(stored: Recommendation) -> dict[str, Any]:
    again = replay(stored)
    return {
        "stored": to_document(stored),
        "again": to_document(again),
        "departures": None if again is None else list(departures(stored, again)),
    }


def _point(advice: Recommendation) -> dict[str, Any]:
    """Return what a plot shows of a recommendation."""
    coming = advice.forecast if advice.forecast is not None and advice.forecast.state == "ok" else None
    return {
        "at": to_document(advice.at),
        **{name: getattr(advice, name) for name in PLOTTED},
        "forecast_p50_rps": coming.p50 if coming else None,
        "forecast_p90_rps": coming.p90 if coming else None,
    }


def past(services: Services, model: str, at: datetime) -> Recommendation:
    """The newest recommendation made at an instant or before; NotFound where none of that age is kept."""
    found = services.catalog.findings.history(model, "recommendation", Recommendation, until=at, limit=1)
    if not found:
        kept = format_duration(ADVICE_KEPT.total_seconds())
        raise NotFound(f"{model[:100]} has no recommendation made by {to_document(at)}; they are kept for {kept}")
    return whole(services, found[0].finding)


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
