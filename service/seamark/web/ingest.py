"""The doors by which telemetry comes in: each is answered only when every row it was given is durable or refused."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import pyarrow.compute as pc
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seamark.core.errors import InputRefused, NotAuthenticated, SeamarkError, StoreUnavailable
from seamark.core.records import Decoded
from seamark.engine.services import Services
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import THREAD_BYTES, InFlight, body_of, media_type_of
from seamark.web.recent import RecentBodies
from seamark.wire.documents import MEDIA_TYPES
from seamark.wire.labels import decode_labels
from seamark.wire.otlp import Encoding, count_points, decode_logs, decode_traces
from seamark.wire.otlp_answers import METRICS_REFUSED, export_answer, reasons, status_answer
from seamark.wire.predictions import decode_predictions

log = logging.getLogger(__name__)

BODIES_AT_ONCE = 4  # of the largest size
LARGE_AT_ONCE = 2  # bodies being decoded: more would only share the interpreter, and hold its memory longer
REJECTED_SHOWN = 1_000
SCHEMAS_REMEMBERED = 10_000
_ITEMS = {"traces": "spans", "logs": "log records"}
_TELLING = (401, 403, 413, 503)  # statuses OTLP senders know; every other refusal is 400

Result = TypeVar("Result")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def router() -> APIRouter:
    """POST /v1/traces, /v1/logs, /v1/metrics (OTLP/HTTP) and /api/v1/predictions, /api/v1/labels."""
    doors = Doors()
    routes = APIRouter(tags=["ingest"])
    _otlp_routes(routes, doors)

    @routes.post("/api/v1/predictions", openapi_extra=_takes(*MEDIA_TYPES))
    async def predictions(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """Store prediction records; the answer names what was refused, and every id."""
        return await doors.rest(request, who, "predictions", partial(decode_predictions, new_id=_new_id))

    @routes.post("/api/v1/labels", openapi_extra=_takes(*MEDIA_TYPES))
    async def labels(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """Store ground truth, joined to predictions by prediction_id; the answer names what was refused."""
        return await doors.rest(request, who, "labels", decode_labels)

    return routes


def _otlp_routes(routes: APIRouter, doors: Doors) -> None:
    otlp = APIRouter(route_class=OtlpRoute)
    takes = _takes(*Encoding)

    @otlp.post("/v1/traces", openapi_extra=takes)
    async def traces(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: store spans."""
        return await doors.export(request, who, "traces", decode_traces)

    @otlp.post("/v1/logs", openapi_extra=takes)
    async def logs(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: store seamark.prediction and seamark.label events; other records are refused."""
        return await doors.export(request, who, "logs", partial(decode_logs, new_id=_new_id))

    @otlp.post("/v1/metrics", openapi_extra=takes)
    async def metrics(request: Request, who: Principal = Depends(require("ingest"))) -> Response:
        """OTLP/HTTP: metrics are counted and refused, so that their sender need not retry."""
        return await doors.metrics(request)

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
                return _status(request, error)
            except Exception:
                log.exception("%s %.200r", request.method, request.url.path)
                return _status(request, SeamarkError("something went wrong in the service; its log tells more"))

        return answer


class Doors:
    """What the ingest routes share: bodies in flight, recent bodies, schemas the catalog has."""

    def __init__(self) -> None:
        self._in_flight: InFlight | None = None
        self._recent = RecentBodies()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._schemas: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def export(self, request: Request, who: Principal, signal: str, decode: Callable[..., Decoded]) -> Response:
        """Answer an OTLP export of traces or logs."""
        services, encoding = services_of(request), _encoding(request)
        async with body_of(request, services.max_body_bytes, self._room(services)) as body:

            async def store() -> bytes:
                decoded = await self._work(body, partial(decode, body, encoding, received_at=services.clock.now()))
                refused = len(decoded.refusals)
                await self._commit(services, who, decoded)
                services.telemetry.count_rows(signal, decoded.rows, refused)
                message = reasons(decoded.refusals, decoded.rows + refused, _ITEMS[signal])
                return export_answer(signal, encoding, refused, message)

            # An answer given to one key must not be had with another: what a key is bound to belongs to the name.
            digest = await self._work(body, lambda: hashlib.blake2b(body, digest_size=16).digest())
            name = (signal, encoding, who.model, digest)
            answer = await self._recent.once(name, services.clock.monotonic_s(), store)
        return Response(answer, media_type=encoding)

    async def metrics(self, request: Request) -> Response:
        """Answer an OTLP export of metrics: all points are refused."""
        services, encoding = services_of(request), _encoding(request)
        async with body_of(request, services.max_body_bytes, self._room(services)) as body:
            points = await self._work(body, partial(count_points, body, encoding))
        services.telemetry.count_rows("metrics", 0, points)
        return Response(export_answer("metrics", encoding, points, METRICS_REFUSED), media_type=encoding)

    async def rest(self, request: Request, who: Principal, signal: str, decode: Callable[..., Decoded]) -> Response:
        """Answer predictions or labels sent as records."""
        services = services_of(request)
        media_type = media_type_of(request)
        async with body_of(request, services.max_body_bytes, self._room(services)) as body:
            decoded = await self._work(body, partial(decode, body, media_type, received_at=services.clock.now()))
            await self._commit(services, who, decoded)
        refused = decoded.refusals
        services.telemetry.count_rows(signal, decoded.rows, len(refused))
        answer = {
            "accepted": decoded.rows,
            "rejected": [{"index": r.index, "error": r.reason} for r in refused[:REJECTED_SHOWN]],
            "rejected_total": len(refused),
            "ids": decoded.ids,
        }
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def _commit(self, services: Services, who: Principal, decoded: Decoded) -> None:
        """Return when the rows are durable. Whatever else happens, the sender is told to keep them."""
        _check_models(who, decoded)
        try:
            await self._remember_schemas(services, decoded)
            if decoded.tables:
                await services.buffer.append(decoded.tables)
        except SeamarkError:
            raise
        except Exception as error:
            log.exception("a commit failed in a way nobody foresaw")
            raise StoreUnavailable("the rows could not be stored; send them again in a moment") from error
        try:
            if "spans" in decoded.tables:
                services.telemetry.observe_spans(decoded.tables["spans"])
            if "predictions" in decoded.tables:
                services.telemetry.observe_predictions(decoded.tables["predictions"])
        except Exception:  # the rows are durable: a fault in counting them must not make their sender send them again
            log.exception("stored rows could not be counted")

    async def _remember_schemas(self, services: Services, decoded: Decoded) -> None:
        """Give the catalog schemas it may not have: rows whose schema is unknown could not be read."""
        keys = {(model, schema.schema_id): (model, schema) for model, schema in decoded.schemas}
        new = [pair for key, pair in keys.items() if key not in self._schemas]
        if new:
            await run_in_threadpool(services.catalog.remember_schemas, new)
        for key in keys:
            self._schemas[key] = None
            self._schemas.move_to_end(key)
        while len(self._schemas) > SCHEMAS_REMEMBERED:
            self._schemas.popitem(last=False)

    async def _work(self, body: bytes, work: Callable[[], Result]) -> Result:
        """Return what `work` on `body` returns; a large body's is done in a thread, few at once."""
        if len(body) <= THREAD_BYTES:
            return work()
        async with self._large:
            return await run_in_threadpool(work)

    def _room(self, services: Services) -> InFlight:
        if self._in_flight is None:
            self._in_flight = InFlight(BODIES_AT_ONCE * services.max_body_bytes)
        return self._in_flight


def _check_models(who: Principal, decoded: Decoded) -> None:
    """A key that is bound to one model brings rows of that model only."""
    if who.model is None:
        return
    for table in decoded.tables.values():
        for model in pc.unique(table.column("model")).to_pylist():
            who.check_model(model)


def _encoding(request: Request) -> Encoding:
    try:
        return Encoding(media_type_of(request))
    except ValueError:
        given = request.headers.get("content-type", "")[:100]
        raise InputRefused(f"Content-Type {given!r} is not read here; send {' or '.join(Encoding)}") from None


def _status(request: Request, error: SeamarkError) -> Response:
    """Return the error as OTLP asks. Where the request's encoding is none, JSON can be read by people."""
    known = media_type_of(request) in tuple(Encoding)
    encoding = Encoding(media_type_of(request)) if known else Encoding.JSON
    status = error.status if error.status in _TELLING or error.status >= 500 else 400
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="seamark"'
    return Response(status_answer(status, error.message, encoding), status, headers, encoding)


def _new_id() -> str:
    return uuid4().hex


def _takes(*media_types: str) -> dict[str, Any]:
    """Return what OpenAPI should say of a body that is read by hand."""
    content: dict[str, Any] = {
        str(kind): {"schema": {} if kind == "application/json" else {"type": "string", "format": "binary"}}
        for kind in media_types
    }
    return {"requestBody": {"required": True, "content": content}}
