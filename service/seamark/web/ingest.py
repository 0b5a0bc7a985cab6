"""The doors by which telemetry comes in over HTTP: each is answered only when every row is durable or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from seamark.core.errors import InputRefused, SeamarkError, TryLater
from seamark.core.records import Decoded
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import body_of, media_type_of
from seamark.web.intake import UNFORESEEN, Intake, new_id
from seamark.web.otlp_status import error_response
from seamark.wire.documents import MEDIA_TYPES
from seamark.wire.labels import decode_labels
from seamark.wire.otlp import Encoding
from seamark.wire.predictions import decode_predictions

log = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def router() -> APIRouter:
    """POST /v1/traces, /v1/logs, /v1/metrics (OTLP/HTTP) and /api/v1/predictions, /api/v1/labels."""
    routes = APIRouter(tags=["ingest"])
    _otlp_routes(routes)

    @routes.post("/api/v1/predictions", openapi_extra=_takes(*MEDIA_TYPES))
    async def predictions(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """Store prediction records; the answer names what was refused, and every id."""
        return await _records(request, who, "predictions", partial(decode_predictions, new_id=new_id))

    @routes.post("/api/v1/labels", openapi_extra=_takes(*MEDIA_TYPES))
    async def labels(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """Store ground truth, joined to predictions by prediction_id; the answer names what was refused."""
        return await _records(request, who, "labels", decode_labels)

    return routes


def _otlp_routes(routes: APIRouter) -> None:
    otlp = APIRouter(route_class=OtlpRoute)
    takes = _takes(*Encoding)

    @otlp.post("/v1/traces", openapi_extra=takes)
    async def traces(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: store spans."""
        return await _export(request, who, "traces")

    @otlp.post("/v1/logs", openapi_extra=takes)
    async def logs(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: store seamark.prediction and seamark.label events; other records are refused."""
        return await _export(request, who, "logs")

    @otlp.post("/v1/metrics", openapi_extra=takes)
    async def metrics(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: store metric data points."""
        return await _export(request, who, "metrics")

    routes.include_router(otlp)


class OtlpRoute(APIRoute):
    """A route whose every error, of its dependencies too, is a google.rpc.Status in the request's encoding."""

    def get_route_handler(self) -> Handler:
        """Return the handler with its errors caught."""
        handle: Handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except SeamarkError as error:
                return error_response(request.headers, error)
            except Exception:
                log.exception("%s %.200r", request.method, request.url.path)
                # Not 500: that would have the sender drop rows which are not stored.
                return error_response(request.headers, TryLater(UNFORESEEN))

        return answer


def intake_of(request: Request) -> Intake:
    """Return the application's intake, which every door shares."""
    intake: Intake = request.app.state.intake
    return intake


async def _export(request: Request, who: Principal, signal: str) -> Response:
    """Answer an OTLP export."""
    intake, encoding = intake_of(request), _encoding(request)
    async with body_of(request, services_of(request).max_body_bytes, intake.in_flight) as body:
        answer = await intake.export(who, signal, encoding, body)
    return Response(answer, media_type=encoding)


async def _records(request: Request, who: Principal, signal: str, decode: Callable[..., Decoded]) -> Response:
    """Answer predictions or labels sent as records."""
    intake = intake_of(request)
    async with body_of(request, services_of(request).max_body_bytes, intake.in_flight) as body:
        answer = await intake.records(who, signal, decode, body, media_type_of(request))
    return Response(answer, media_type="application/json")


def _encoding(request: Request) -> Encoding:
    try:
        return Encoding(media_type_of(request))
    except ValueError:
        given = request.headers.get("content-type", "")[:100]
        raise InputRefused(f"Content-Type {given!r} is not read here; send {' or '.join(Encoding)}") from None


def _takes(*media_types: str) -> dict[str, Any]:
    """Return what OpenAPI should say of a body that is read by hand."""
    content: dict[str, Any] = {
        str(kind): {"schema": {} if kind == "application/json" else {"type": "string", "format": "binary"}}
        for kind in media_types
    }
    return {"requestBody": {"required": True, "content": content}}
