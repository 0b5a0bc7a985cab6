"""GET whether a version may be promoted: one stable document for CI, people and Argo Rollouts' web metric."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request

from seamark.core.errors import Invalid, Problem
from seamark.core.findings import to_document
from seamark.core.release import ReleaseFinding
from seamark.core.windows import Window
from seamark.engine.compare import compare
from seamark.engine.services import Services
from seamark.web.asking import duration_s, services_of, window
from seamark.web.auth import Principal, require
from seamark.wire.values import NAME_LENGTH_MAX

DEFAULT_S = 3600.0


def router() -> APIRouter:
    """The endpoint /compare under /api/v1/models/{model}."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])

    @routes.get("/{model:path}/compare")
    def comparison(
        request: Request,
        model: str,
        baseline: str = Query(max_length=NAME_LENGTH_MAX),
        candidate: str = Query(max_length=NAME_LENGTH_MAX),
        start: str | None = None,
        end: str | None = None,
        window: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """Promote, hold or inconclusive, with the evidence. `window` (30m) is a length up to `end`, without `start`."""
        who.check_model(model)
        services = services_of(request)
        return document(compare(services, model, baseline, candidate, asked_window(services, start, end, window)))

    return routes


def asked_window(services: Services, start: str | None, end: str | None, length: str | None) -> Window:
    """Return the window that is asked about: by default the last hour."""
    if start and length:
        message = "write start or window, not both"
        raise Invalid(f"parameter window={length[:100]!r}: {message}", [Problem("window", message)])
    return window(services, start, end, duration_s("window", length, DEFAULT_S))


def document(finding: ReleaseFinding) -> dict[str, Any]:
    """A finding as the public contract has it; `verdict` and `reason` are always text."""
    return {
        "verdict": finding.verdict.value,
        "ok": finding.ok,
        "reason": finding.reason,
        "model": finding.model,
        "baseline": finding.baseline,
        "candidate": finding.candidate,
        "window": {"start": to_document(finding.window.start), "end": to_document(finding.window.end)},
        "metrics": [to_document(metric) for metric in finding.metrics],
        "features_left_out": finding.features_left_out,
    }
