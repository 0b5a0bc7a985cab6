"""KServe's payload logger -> halves of inferences that are durable when they are answered, and joined when both came.

The logger sends each half once, looks at the status and only writes down what it was (kserve/pkg/logger/worker.go). It
sends no header of ours either: its key comes in the URL, as `http://key:smk_...@host/`, which Go's HTTP client turns
into Basic authentication.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse

from seamark.core.errors import InputRefused
from seamark.core.feature_types import TypesOf
from seamark.core.inference import Half
from seamark.core.records import Decoded
from seamark.engine.inference import join_halves
from seamark.store.inference_payloads import rows_of
from seamark.web.asking import services_of
from seamark.web.auth import Principal, admitted, gate_of, presented
from seamark.web.bodies import body_of
from seamark.web.ingest import intake_of
from seamark.wire.cloudevents import read_event
from seamark.wire.inference import check_half
from seamark.wire.values import micros

_BODY = {"requestBody": {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}


def router() -> APIRouter:
    """POST /api/v1/cloudevents."""
    routes = APIRouter(tags=["ingest"])

    @routes.post("/api/v1/cloudevents", openapi_extra=_BODY)
    async def cloudevents(request: Request, who: Principal = Depends(_logger)) -> JSONResponse:
        """Store the request or the response of an inference, as KServe's payload logger sends it."""
        services, intake = services_of(request), intake_of(request)
        async with body_of(request, services.max_body_bytes, intake.in_flight) as body:
            received_us = micros(services.clock.now())
            try:
                half = read_event(request.headers.items(), request.query_params.multi_items(), body, received_us)
                who.check_model(half.model)
                return JSONResponse(await _receive(request, who, half))
            except InputRefused:
                services.telemetry.count_rows("cloudevents", 0, 1)
                raise

    return routes


async def _logger(request: Request, _shown: object = Security(HTTPBearer(auto_error=False))) -> Principal:
    """The request's Principal, who holds `ingest`, by a key as elsewhere or as the password of Basic authentication."""
    key = _basic(request.headers.get("authorization", "")) or presented(request)
    return await admitted(gate_of(request.app), key, "ingest")


def _basic(authorization: str) -> str | None:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credential.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


async def _receive(request: Request, who: Principal, half: Half) -> dict[str, object]:
    """Return what became of a half once it, or what it was joined to, is durable."""
    intake = intake_of(request)
    mate = intake.halves.take_mate(half)
    if mate is not None:
        try:
            return await _join(request, who, half, mate)
        except BaseException:
            intake.halves.hold(mate)  # it still waits
            raise
    await intake.work(half.body, partial(check_half, half))
    intake.halves.hold(half)  # before it is durable: its other half may come meanwhile
    waiting = Decoded({"inference_payloads": rows_of([half])})
    await intake.commit(who, waiting, lambda types: waiting)
    services_of(request).telemetry.count_rows("cloudevents", 1, 0)
    return {"id": half.inference_id, "half": half.half, "joined": False}


async def _join(request: Request, who: Principal, half: Half, mate: Half) -> dict[str, object]:
    intake, telemetry = intake_of(request), services_of(request).telemetry
    larger = max(half.body, mate.body, key=len)
    joined, tables = await intake.work(larger, partial(join_halves, half, mate))

    def again(types: TypesOf) -> Decoded:
        other, rows = join_halves(half, mate, types)
        return replace(other.decoded, tables=rows)

    decoded = await intake.commit(who, replace(joined.decoded, tables=tables), again)
    telemetry.count_rows("cloudevents", 1, len(decoded.refusals))
    telemetry.count_joined("arrival", 1)
    telemetry.count_cut(joined.cut)
    return {
        "id": half.inference_id,
        "half": half.half,
        "joined": True,
        "predictions": len(decoded.ids),
        "cut": joined.cut,
        "rejected": [{"index": refusal.index, "error": refusal.reason} for refusal in decoded.refusals[:100]],
        "rejected_total": len(decoded.refusals),
    }
