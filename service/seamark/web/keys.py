"""API keys: made, listed and revoked; the key itself is told once, when it is made."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from seamark.core.errors import Conflict, Invalid, Problem
from seamark.core.findings import to_document
from seamark.core.keys import RANDOM_BYTES, first_key_problem, new_key
from seamark.engine.services import Services
from seamark.store.catalog.keys import KeyRecord
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import read_object


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    model: str | None = None


def router() -> APIRouter:
    """The endpoints under /api/v1/keys."""
    routes = APIRouter(prefix="/api/v1/keys", tags=["keys"])
    admin = Depends(require("admin"))

    @routes.post("", status_code=201)
    async def create(request: Request, who: Principal = admin) -> dict[str, Any]:
        """Make a key of a scope (ingest, read, run, admin), bound to `model` where given; the first is an admin's."""
        document = await read_object(request)
        return await run_in_threadpool(_make, services_of(request), document)

    @routes.get("")
    def keys(request: Request, who: Principal = admin) -> list[dict[str, Any]]:
        """Every key, revoked ones too; never the key itself."""
        return [_shown(record) for record in services_of(request).catalog.keys.all()]

    @routes.delete("/{key_id}", status_code=204)
    def revoke(request: Request, key_id: str, who: Principal = admin) -> Response:
        """Make a key worthless from now on."""
        services = services_of(request)
        services.catalog.keys.revoke(key_id, services.clock.now())
        return Response(status_code=204)

    return routes


def _make(services: Services, document: dict[str, Any]) -> dict[str, Any]:
    try:
        wanted = msgspec.convert(document, _Wanted)
    except msgspec.ValidationError as error:
        right = 'send {"scope": "ingest|read|run|admin", "model": optional}'
        raise Invalid(f"the key is not usable: {error}; {right}", [Problem("body", str(error))]) from None
    made = new_key(wanted.scope, secrets.token_bytes(RANDOM_BYTES))
    problem = None if services.catalog.keys.any() else first_key_problem(wanted.scope, wanted.model)
    if problem:
        raise Conflict(problem)
    record = KeyRecord(made.key_id, made.hash, wanted.scope, wanted.model, services.clock.now(), None)
    services.catalog.keys.add(record)
    return {**_shown(record), "key": made.plain}


def _shown(record: KeyRecord) -> dict[str, Any]:
    document: dict[str, Any] = to_document(record)
    return {name: value for name, value in document.items() if name != "hash"}
