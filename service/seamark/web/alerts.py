"""What fires, what is watched, and what was sent where."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from seamark.core.findings import AlertStatus, to_document
from seamark.engine.alerts import rules
from seamark.web import documents
from seamark.web.asking import among, services_of
from seamark.web.auth import Principal, require


def router() -> APIRouter:
    """The endpoints under /api/v1/alerts."""
    routes = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])
    read = Depends(require("read"))

    @routes.get("")
    def alerts(request: Request, state: str | None = None, who: Principal = read) -> list[dict[str, Any]]:
        """Alerts, the latest change first; `state` is any of firing, pending, resolved, inactive."""
        wanted = among("state", state, tuple(status.value for status in AlertStatus))
        statuses = [AlertStatus(word) for word in wanted] if wanted else None
        services = services_of(request)
        found = [a for a in services.catalog.alerts.all(statuses) if who.may_touch(a.rule.labels.get("model", ""))]
        return [
            {**documents.alert(a), "deliveries": to_document(services.catalog.outbox.deliveries(a.fingerprint, 10))}
            for a in found
        ]

    @routes.get("/rules")
    def watched(request: Request, who: Principal = read) -> list[dict[str, Any]]:
        """The rules that the configuration in force implies."""
        found = rules(services_of(request).configuration.current().models)
        return [to_document(rule) for rule in found if who.may_touch(rule.labels["model"])]

    return routes
