"""GET how right a model is: measured with labels and estimated without, for a window or step by step."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from seamark.core.findings import to_document
from seamark.core.performance import Estimate, Performance, PerformancePoint, error_of
from seamark.engine import estimates
from seamark.engine.performance import both, series
from seamark.web.asking import duration_s, points_at_most, segments_of, services_of, window
from seamark.web.auth import Principal, require

STEPS_MAX = 500


def performance_routes(routes: APIRouter) -> None:
    """Add the endpoint to those of a model."""

    @routes.get("/{model:path}/performance")
    def performance(
        request: Request,
        model: str,
        start: str | None = None,
        end: str | None = None,
        version: str | None = None,
        segment: Annotated[list[str] | None, Query()] = None,
        step: str | None = None,
        who: Principal = Depends(require("read")),
    ) -> dict[str, Any]:
        """Performance measured with the labels that have come, and estimated without; with `step` also as a series."""
        who.check_model(model)
        services = services_of(request)
        spec = services.configuration.model(model)
        asked = window(services, start, end, spec.performance.window_s if spec else 3600.0)
        wanted = segments_of(segment)
        step_s = None if step is None else points_at_most(STEPS_MAX, duration_s("step", step, 3600.0), asked)
        found = point(both(services, model, version, asked, wanted))
        document = {"model": model, "version": version, "segment": dict(wanted), **found}
        document["estimates_so_far"] = to_document(estimates.fared(services, model))
        if step_s is not None:
            steps = series(services, model, version, asked, step_s, wanted)
            document["series"] = [{"at": to_document(one.measured.window.start), **point(one)} for one in steps]
        return document


def point(found: PerformancePoint) -> dict[str, Any]:
    """What was measured, with what was estimated beside it and how far that was off, where both are known."""
    return {
        **measured(found.measured),
        "estimated": estimated(found.estimated) if found.estimated else None,
        "estimate_error": error_of(found.estimated, found.measured),
    }


def measured(found: Performance) -> dict[str, Any]:
    """Measured performance with its state and coverage."""
    return {
        **to_document(found),
        "window": _window(found),
        "kind": "measured",
        "state": found.state.value,
        "coverage": found.coverage,
    }


def estimated(found: Estimate) -> dict[str, Any]:
    """An estimate with its state; the window is that of the measured figures beside it."""
    document = {**to_document(found), "kind": "estimated"}
    del document["window"]
    return document


def _window(found: Performance) -> dict[str, Any]:
    return {"start": to_document(found.window.start), "end": to_document(found.window.end)}
