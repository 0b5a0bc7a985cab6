"""Whatever went wrong in a request -> an RFC 9457 problem that says what, where and what would be right."""

from __future__ import annotations

import json
import logging
import reprlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seamark.core.errors import InputRefused, Invalid, NotAuthenticated, Problem, SeamarkError
from seamark.web.otlp_status import is_otlp, status_response
from seamark.web.page_problem import problem_page, wants_page

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
DETAIL_MAX = 2000
ERRORS_MAX = 50
_VALUE = reprlib.Repr()
_VALUE.maxstring = _VALUE.maxother = 80
_VALUE.maxlevel = 2
# Who calls these reads status codes, not pages; everybody else with an HTML-reading client is led to the login.
_NOT_PAGES = ("/api/", "/v1/", "/tempo/", "/metrics", "/healthz", "/readyz", "/login")


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem. Call it before guard.install, whose headers then go on problems too."""
    app.add_exception_handler(SeamarkError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(Unexpected)


def problem(error: SeamarkError) -> Response:
    """Return the answer to an error of ours: its status, `Retry-After` and `WWW-Authenticate` where they belong."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="seamark"'
    return respond(error.status, f"urn:seamark:{error.kind}", error.message, error.problems, headers)


def respond(
    status: int,
    kind: str = "about:blank",
    detail: str = "",
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem. Long details and long lists are cut, and say so; escapes carry any text as ASCII."""
    shown = [{"field": p.field, "message": _cut(p.message), "line": p.line} for p in problems[:ERRORS_MAX]]
    if len(problems) > ERRORS_MAX:
        left = len(problems) - ERRORS_MAX
        shown.append({"field": "", "message": f"{left} more errors are not shown", "line": None})
    body = {"type": kind, "title": _title(status), "status": status, "detail": _cut(detail), "errors": shown}
    return Response(json.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


async def _answer_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SeamarkError)
    if isinstance(error, NotAuthenticated) and _is_page(request):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER)
    if error.status >= 500:
        log.warning("%s %.200r: %s", request.method, request.url.path, error.message)
    if wants_page(request):
        return problem_page(request, error.status, error.message)
    return problem(error)


def _is_page(request: Request) -> bool:
    wants_html = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    return wants_html and not request.url.path.startswith(_NOT_PAGES)


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(entry.get("type") == "json_invalid" for entry in found):
        reason = found[0].get("ctx", {}).get("error", "")
        place = found[0].get("loc", ("body", ""))[-1]
        return problem(InputRefused(f"the body is not JSON: {reason} at character {place}"))
    problems = [_explain(entry) for entry in found]
    return problem(Invalid("; ".join(str(p) for p in problems[:5]), problems))


def _explain(entry: Mapping[str, Any]) -> Problem:
    where = _field(entry.get("loc", ()))
    rule = str(entry.get("msg", "is wrong"))
    if entry.get("type") == "missing":
        return Problem(where, "is missing, and is needed")
    try:
        value = _VALUE.repr(entry.get("input"))
    except ValueError:  # as of an integer of 5,000 digits
        value = "a value that cannot be shown"
    return Problem(where, f"got {value}; {rule[:1].lower()}{rule[1:]}")


def _field(place: Iterable[Any]) -> str:
    """Return a dotted path: ("body", 0, "model") -> body[0].model."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{str(part)[:100]}"
    return text


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = f"{request.url.path:.200}"
    detail = str(error.detail)
    if error.status_code == 404 and detail == HTTPStatus(404).phrase:
        detail = f"there is nothing at {path}; /docs lists what there is"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.method:.20} is not possible at {path}" + (f"; {allowed} is" if allowed else "")
    if is_otlp(request.url.path):
        return status_response(request.headers, error.status_code, detail, error.headers)
    if wants_page(request):
        return problem_page(request, error.status_code, detail)
    return respond(error.status_code, detail=detail, headers=error.headers)


class Unexpected:
    """ASGI: an exception nobody foresaw -> 500 without internals, and a log line with the same id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            log.info("%s %.200r: the client went away", scope["method"], scope["path"])
        except Exception:
            error_id = secrets.token_hex(6)
            log.exception("error %s in %s %.200r", error_id, scope["method"], scope["path"])
            if started:
                raise  # too late for another answer: the server cuts the connection, so that nobody takes half for all
            detail = f"something went wrong in the service; its log tells more about error {error_id}"
            answer = respond(500, "urn:seamark:internal", detail)
            if is_otlp(scope["path"]):  # 503, as a sender of telemetry drops its rows at a 500
                answer = status_response(Headers(scope=scope), 503, detail, {"Retry-After": "1"})
            await answer(scope, receive, send)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_MAX else f"{text[:DETAIL_MAX]}... ({len(text)} characters)"
