"""PUT, list, promote and roll back what models are held against; GET what their features are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.findings import to_document
from seamark.core.windows import Window
from seamark.engine import references
from seamark.engine.feature_types import known_types
from seamark.engine.services import Services
from seamark.store.catalog.references import ReferenceChange, ReferenceSet
from seamark.web.asking import instant, services_of
from seamark.web.auth import Principal, require
from seamark.web.bodies import read_body
from seamark.wire.rows import decode_reference

Version = Annotated[str, Query(max_length=256)]


def router() -> APIRouter:
    """The endpoints under /api/v1/models that tell of references and types."""
    routes = APIRouter(prefix="/api/v1/models", tags=["references"])
    _reading(routes)
    _changing(routes)
    _types(routes)
    return routes


def _reading(routes: APIRouter) -> None:
    @routes.get("/{model:path}/reference")
    def get_reference(
        request: Request, model: str, version: str | None = None, who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """The reference in force: of this version, else of all that have none of their own."""
        who.check_model(model)
        found = services_of(request).catalog.references.in_force(model, version)
        if found is None:
            raise NotFound(f"{model[:100]} has no reference; PUT one here")
        return document(*found)

    @routes.get("/{model:path}/references")
    def list_references(
        request: Request, model: str, version: str | None = None, who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """The newest references of a version (of all versions without one), and what was done to them."""
        who.check_model(model)
        kept = services_of(request).catalog.references
        changes = kept.changes(model, version)
        newest: dict[str, ReferenceChange] = {}
        for change in changes:
            newest.setdefault(change.version, change)
        in_force = {change.reference_id: change for change in newest.values()}
        return {
            "references": [document(found, in_force.get(found.id)) for found in kept.listed(model, version)],
            "changes": [to_document(change) for change in changes],
        }


def _changing(routes: APIRouter) -> None:
    @routes.put("/{model:path}/reference", status_code=201)
    async def put_reference(
        request: Request,
        model: str,
        version: Version = "",
        promote: bool = True,
        who: Principal = Depends(require("run")),
    ) -> dict[str, Any]:
        """Parquet, CSV, Arrow or JSON rows; or `{"from": ..., "to": ...}` of live traffic. In force from now on.

        With `promote=false` it is kept for later.
        """
        who.check_model(model)
        services = services_of(request)
        body = await read_body(request, services.max_body_bytes)
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        kept = await run_in_threadpool(_keep, services, model, version, body, media_type, who.key_id or "", promote)
        services_of(request).types.forget(model)
        return kept

    @routes.post("/{model:path}/references/{reference_id}/promote")
    def promote(
        request: Request, model: str, reference_id: str, who: Principal = Depends(require("run"))
    ) -> dict[str, Any]:
        """Put a reference in force for its version; the one that is in force stays so."""
        who.check_model(model)
        services = services_of(request)
        found, changed = services.catalog.references.promote(
            model, reference_id, services.clock.now(), who.key_id or ""
        )
        services_of(request).types.forget(model)
        return _now(services, found, changed=changed)

    @routes.post("/{model:path}/reference/rollback")
    def roll_back(
        request: Request,
        model: str,
        version: Version = "",
        leave: Annotated[str | None, Query(alias="from", max_length=64)] = None,
        who: Principal = Depends(require("run")),
    ) -> dict[str, Any]:
        """Put the reference in force that was before the present one. With its id as `from`, twice is once."""
        who.check_model(model)
        services = services_of(request)
        found, changed = services.catalog.references.roll_back(
            model, version, services.clock.now(), who.key_id or "", leave
        )
        services_of(request).types.forget(model)
        return _now(services, found, changed=changed)


def _types(routes: APIRouter) -> None:
    @routes.get("/{model:path}/types")
    def types(
        request: Request, model: str, version: Version = "", who: Principal = Depends(require("read"))
    ) -> dict[str, Any]:
        """What each feature of a version is, a number or a word, since when and by what."""
        who.check_model(model)
        found = known_types(services_of(request).catalog, model, version)
        return {
            "model": model,
            "version": version,
            "features": [
                {"feature": name, "type": one.kind, "since": to_document(one.since), "reference_id": one.reference_id}
                for name, one in sorted(found.items())
            ],
        }

    @routes.delete("/{model:path}/types", status_code=204)
    def forget_type(
        request: Request, model: str, feature: str, version: Version = "", who: Principal = Depends(require("run"))
    ) -> None:
        """Let the next rows say what a feature is, where rows have said it; a reference's word stays."""
        who.check_model(model)
        if not services_of(request).catalog.feature_types.forget(model, version, feature):
            raise NotFound(f"no row has fixed a type of feature {feature[:100]!r} of version {version[:100]!r}")
        services_of(request).types.forget(model)


def document(found: ReferenceSet, change: ReferenceChange | None) -> dict[str, Any]:
    """A reference without its rows; `change` is how it came into force, None where it is not."""
    return {
        "id": found.id,
        "model": found.model,
        "version": found.version,
        "created_at": to_document(found.created_at),
        "rows": found.rows,
        "features": {
            "numeric": list(found.schema.numeric),
            "categorical": list(found.schema.categorical),
            "vectors": dict(found.schema.vectors),
        },
        "source": to_document(found.source),
        "in_force": change is not None,
        "in_force_since": to_document(change.at) if change else None,
        "by": change.by if change else None,
    }


def _now(services: Services, found: ReferenceSet, *, changed: bool) -> dict[str, Any]:
    in_force = services.catalog.references.in_force(found.model, found.version)
    change = in_force[1] if in_force and in_force[0].id == found.id else None
    return {**document(found, change), "changed": changed}


class _FromTraffic(msgspec.Struct, forbid_unknown_fields=True):
    """A reference that is a stretch of live traffic."""

    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")


def _keep(
    services: Services, model: str, version: str, body: bytes, media_type: str, by: str, promote: bool
) -> dict[str, Any]:
    at = services.clock.now()
    if media_type == "application/json" and body.lstrip()[:1] == b"{":
        span = _span(body, at)
        kept = references.from_traffic(services, model, version, span, at, by, promote=promote)
    else:
        file = decode_reference(body, media_type)
        kept = references.from_file(services, model, version, file, media_type, at, by, promote=promote)
    found = services.catalog.references.in_force(model, version)
    return document(kept, found[1] if found and found[0].id == kept.id else None)


def _span(body: bytes, at: datetime) -> Window:
    try:
        asked = msgspec.json.decode(body, type=_FromTraffic)
    except msgspec.MsgspecError as error:
        right = 'send rows as a JSON array, or {"from": instant, "to": instant}'
        raise Invalid(f"the reference is not usable: {error}; {right}", [Problem("body", str(error))]) from None
    return Window(instant("from", asked.start, at), instant("to", asked.end, at))
