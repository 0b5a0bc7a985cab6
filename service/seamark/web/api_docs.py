"""The application's OpenAPI document -> a page to read it by, from this service alone: no script, no CDN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from seamark.web.page_assets import render


@dataclass(frozen=True)
class Parameter:
    """One parameter of a call."""

    name: str
    place: str
    required: bool
    description: str


@dataclass(frozen=True)
class Call:
    """One endpoint."""

    method: str
    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    answers: tuple[str, ...]


def router() -> APIRouter:
    """/docs; the document itself is at /openapi.json."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    def docs(request: Request) -> HTMLResponse:
        document = request.app.openapi()
        return render(request, "api.html.j2", {"groups": groups(document), "api_version": document["info"]["version"]})

    return routes


def groups(document: dict[str, Any]) -> list[tuple[str, list[Call]]]:
    """Return the calls of an OpenAPI document by their first tag, in the document's order."""
    found: dict[str, list[Call]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            found.setdefault(tag, []).append(_call(path, method, operation))
    return list(found.items())


def _call(path: str, method: str, operation: dict[str, Any]) -> Call:
    parameters = tuple(
        Parameter(p["name"], p["in"], p.get("required", False), p.get("description", ""))
        for p in operation.get("parameters", [])
    )
    summary = operation.get("description") or operation.get("summary", "")
    return Call(method.upper(), path, " ".join(summary.split()), parameters, tuple(operation.get("responses", {})))
