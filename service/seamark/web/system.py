"""Health, metrics and the configuration in force."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from seamark import __version__
from seamark.core.errors import ConfigInvalid, Problem, SeamarkError, StoreUnavailable
from seamark.core.findings import to_document
from seamark.engine.exposition import metrics_text
from seamark.engine.services import Services
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import read_written

CONFIG_BYTES_MAX = 1024 * 1024
FREE_BYTES_MIN = 1024 * 1024  # below it the disk is as good as full


def router() -> APIRouter:
    """/healthz, /readyz, /metrics, /api/v1/config."""
    routes = APIRouter(tags=["system"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    @routes.get("/readyz")
    def readyz(request: Request) -> Response:
        """Whether rows can be taken and read: lake, catalog, configuration."""
        services = services_of(request)
        checks: dict[str, str] = {}
        looks: dict[str, Callable[[], object]] = {
            "lake": partial(_check_lake, services),
            "catalog": services.catalog.database.current_revision,
        }
        for name, check in looks.items():
            try:
                check()
                checks[name] = "ok"
            except SeamarkError as error:
                checks[name] = error.message
        ready = all(word == "ok" for word in checks.values())
        if services.configuration.problem:
            checks["configuration"] = f"the last good one is in force: {services.configuration.problem}"
        return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)

    @routes.get("/metrics")
    def metrics(request: Request, who: Principal = Depends(require("read"))) -> Response:
        """Prometheus text; OpenMetrics with exemplars when asked for."""
        who.check_unbound()
        body, content_type = metrics_text(services_of(request), request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    @routes.get("/api/v1/config")
    def config(request: Request, who: Principal = Depends(require("read"))) -> dict[str, Any]:
        """The seamark.yaml in force."""
        who.check_unbound()
        services = services_of(request)
        applied = services.catalog.configs.current()
        services.configuration.current()
        return {
            "text": applied.text if applied else None,
            "applied_at": to_document(applied.applied_at) if applied else None,
            "problem": services.configuration.problem,
        }

    @routes.put("/api/v1/config")
    async def apply(
        request: Request, dry_run: bool = False, who: Principal = Depends(require("admin"))
    ) -> dict[str, Any]:
        """Put a seamark.yaml in force; the answer lists what changes. A wrong one changes nothing."""
        services = services_of(request)
        body = await read_written(request, min(CONFIG_BYTES_MAX, services.max_body_bytes))
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            message = f"seamark.yaml is not UTF-8: byte {error.start} is not"
            raise ConfigInvalid(message, [Problem("", message)]) from None
        at = services.clock.now()
        changes = await run_in_threadpool(services.configuration.apply, text, at, dry_run=dry_run)
        return {"changes": changes, "dry_run": dry_run}

    return routes


def _check_lake(services: Services) -> None:
    """StoreUnavailable where the lake does not answer, or its disk has no room for a row."""
    free_bytes = services.lake.health().free_bytes
    if free_bytes is not None and free_bytes < FREE_BYTES_MIN:
        raise StoreUnavailable(f"the lake's disk is full: {free_bytes:,} bytes are free")
