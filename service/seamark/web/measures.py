"""GET what a model's metric points and generative spans say, per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request

from seamark.core.findings import to_document
from seamark.core.measures import MetricStep, TokenStep
from seamark.core.windows import Window
from seamark.store import points, tokens
from seamark.web.asking import among, services_of, step_s, window
from seamark.web.auth import Principal, require

SENT_EVERY_S = 60.0  # SDKs send metrics once a minute: shorter steps would miss series


def router() -> APIRouter:
    """The endpoints /metrics and /tokens under /api/v1/models/{model}."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])
    read = Depends(require("read"))

    @routes.get("/{model:path}/metrics")
    def names(
        request: Request, model: str, start: str | None = None, end: str | None = None, who: Principal = read
    ) -> list[dict[str, Any]]:
        """The metrics the model was heard to send: unit, kind, series, last seen."""
        who.check_model(model)
        services = services_of(request)
        found: list[dict[str, Any]] = to_document(
            points.names(services.lake, model, window(services, start, end, 3600.0))
        )
        return found

    @routes.get("/{model:path}/metrics/{name:path}")
    def metric(
        request: Request,
        model: str,
        name: str,
        start: str | None = None,
        end: str | None = None,
        step: str | None = None,
        by: str | None = None,
        who: Principal = read,
    ) -> dict[str, Any]:
        """One metric per step; `by` is any of instance, version. `metric` is null where no point came."""
        who.check_model(model)
        services = services_of(request)
        asked = window(services, start, end, 3600.0)
        groups = among("by", by, tuple(points.GROUPINGS))
        known, steps = points.steps(services.lake, model, name, asked, _metric_step_s(step, asked), groups)
        return {"metric": to_document(known), "steps": _rows(steps)}

    @routes.get("/{model:path}/tokens")
    def generated(
        request: Request,
        model: str,
        start: str | None = None,
        end: str | None = None,
        step: str | None = None,
        by: str | None = None,
        synthetic: bool = False,
        who: Principal = read,
    ) -> list[dict[str, Any]]:
        """Tokens and times to the first token per step; `by` is any of gen_ai_model, version."""
        who.check_model(model)
        services = services_of(request)
        asked = window(services, start, end, 3600.0)
        groups = among("by", by, tuple(tokens.GROUPINGS))
        return _rows(
            tokens.token_steps(
                services.lake, model, asked, step_s(step, asked), groups, synthetic=None if synthetic else False
            )
        )

    return routes


def _metric_step_s(text: str | None, asked: Window) -> float:
    return step_s(text, asked) if text else max(step_s(None, asked), SENT_EVERY_S)


def _rows(steps: Sequence[MetricStep] | Sequence[TokenStep]) -> list[dict[str, Any]]:
    """One row per step and group, the groups' names beside the figures."""
    rows = to_document(list(steps))
    return [{**{key: value for key, value in row.items() if key != "by"}, **row["by"]} for row in rows]
