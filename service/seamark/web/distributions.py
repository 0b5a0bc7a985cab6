"""GET how a feature's values lie in a window beside its reference, with the decision that was made of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from seamark.core.errors import Invalid, Problem
from seamark.core.findings import to_document
from seamark.core.windows import Window
from seamark.engine import drift_history
from seamark.engine.distributions import Explained, explain
from seamark.engine.services import Services
from seamark.web import documents
from seamark.web.asking import duration_s, instant, services_of
from seamark.web.auth import Principal, require
from seamark.web.feature_paths import feature_asked

_MODELS = "/api/v1/models/"


def router() -> APIRouter:
    """The endpoint /distribution of a model's feature, under its name or, for any name, under `?feature=`."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])

    def asked(
        request: Request, at: str | None, window: str | None, version: str | None, who: Principal
    ) -> dict[str, Any]:
        # From the path as it was sent: only there can a slash in a name be told from one between names.
        named = feature_asked(request, _MODELS, "/distribution")
        if named is None:
            message = "name a feature: /api/v1/models/{model}/drift/{feature}/distribution, or ?feature= for any name"
            raise Invalid(message, [Problem("feature", "is missing")])
        model, feature = named
        who.check_model(model)
        services = services_of(request)
        over = window_asked(services, model, at, window)
        return document(explain(services, model, version, over, feature, services.clock.now()))

    @routes.get("/{model:path}/drift/distribution")
    def by_query(
        request: Request,
        model: str,
        feature: str = "",
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """As the path with the feature's name in it, for names that a path cannot carry (`.` and `..`)."""
        return asked(request, at, window, version, who)

    @routes.get("/{model:path}/drift/{feature:path}/distribution")
    def by_path(
        request: Request,
        model: str,
        feature: str,
        at: str | None = None,
        window: str | None = None,
        version: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """A feature in the window that ends at `at` beside its reference: bins or levels, quantiles, the decision.

        A slash in a name is written %2F.
        """
        return asked(request, at, window, version, who)

    return routes


def window_asked(services: Services, model: str, at: str | None, span: str | None) -> Window:
    """Return the window that ends at `at` (now) and is as long as asked, else as those the model is watched over."""
    span_s = duration_s("window", span, drift_history.window_span_s(services, model))
    return Window.trailing(instant("at", at, services.clock.now()), span_s)


def document(found: Explained) -> dict[str, Any]:
    """The answer's JSON. `judged_at` null: nobody had judged this window, so it was done for this answer."""
    shown = found.distribution
    return {
        "model": shown.model,
        "version": shown.version,
        "feature": shown.feature,
        "kind": shown.kind,
        "window": to_document(shown.window),
        "reference_id": shown.reference_id,
        "reference_created_at": to_document(found.reference_created_at),
        "decision": documents.feature(found.decision),
        "judged_at": to_document(found.judged_at),
        "current": to_document(shown.current),
        "reference": to_document(shown.reference),
        "bins": to_document(list(shown.bins)),
        "levels": to_document(list(shown.levels)),
        "other_levels": to_document(shown.other_levels),
        "sampled": shown.sampled,
    }
