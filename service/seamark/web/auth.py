"""A request's key -> who asks and what they may do; and the login by which a browser keeps its key in a cookie.

While no key was ever made and only this machine can reach the service, everybody is admin. From the first key on, every
call needs one. A key's record is kept for two seconds: that is how late a revocation can take effect.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Protocol
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Query, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seamark.core import keys
from seamark.core.clock import Clock
from seamark.core.errors import BodyTooLarge, Invalid, NotAuthenticated, NotPermitted
from seamark.store.catalog.keys import KeyRecord

COOKIE = "seamark_key"
CACHE_S = 2.0
CACHE_MAX = 1024
FORM_MAX_BYTES = 8192
_ANY = ""  # the cache's entry for "is there any key"; no key has an empty id


class KeySource(Protocol):
    """Where key records come from: the catalog's `keys`."""

    def any(self) -> bool: ...

    def by_id(self, key_id: str) -> KeyRecord | None: ...


@dataclass(frozen=True)
class Principal:
    """Who asks: the scope held, the key's id (None: access is open) and the one model it is bound to (None: all)."""

    scope: str
    key_id: str | None = None
    model: str | None = None

    def may(self, scope: str) -> bool:
        """Whether this principal holds `scope`."""
        return keys.allows(self.scope, scope)

    def may_touch(self, model: str) -> bool:
        """Whether this principal may read and write `model`."""
        return self.model is None or self.model == model

    def check_unbound(self) -> None:
        """NotPermitted for a key bound to one model: what is asked for tells of all."""
        if self.model is not None:
            raise NotPermitted("this tells of every model; it takes a key that is not bound to one")

    def check_model(self, model: str) -> None:
        """Raise NotPermitted where this principal is bound to another model."""
        if not self.may_touch(model):
            raise NotPermitted(f"this key is bound to model {self.model!r}; it may not touch {model[:100]!r}")


class Gate:
    """Keys -> principals, with records cached for CACHE_S seconds. Safe from any thread."""

    def __init__(self, source: KeySource, clock: Clock, *, open_access: bool) -> None:
        self._source = source
        self._clock = clock
        self._open_access = open_access
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[float, KeyRecord | bool | None]] = OrderedDict()

    def principal(self, plain: str | None, needed: str) -> Principal:
        """Return who holds the key `plain`; may read the catalog.

        NotAuthenticated without a good key, NotPermitted where its scope is too small.
        """
        if self.open():
            return Principal("admin")
        if not plain:
            raise NotAuthenticated("this needs an API key: send it as Authorization: Bearer KEY or as X-API-Key: KEY")
        key_id = keys.key_id(plain)
        record = self._by_id(key_id) if key_id else None
        if record is None or not keys.matches(plain, record.hash):
            raise NotAuthenticated("this API key is not known; `seamark keys create` makes one")
        if record.revoked_at is not None:
            raise NotAuthenticated(f"API key {record.id} was revoked; `seamark keys create` makes another")
        if not keys.allows(record.scope, needed):
            raise NotPermitted(f"this needs a key of scope {needed}; key {record.id} has scope {record.scope}")
        if needed == "admin" and record.model is not None:
            raise NotPermitted(f"this concerns all models; key {record.id} is bound to model {record.model!r}")
        return Principal(record.scope, record.id, record.model)

    def open(self) -> bool:
        """Whether nobody needs a key: open access was given at the start, and no key was made since."""
        return self._open_access and not self._cached(_ANY, self._source.any)

    def fresh(self, plain: str | None) -> bool:
        """Whether principal() would answer from the cache alone."""
        key_id = keys.key_id(plain) if plain else None
        now_s = self._clock.monotonic_s()
        with self._lock:
            wanted = ([_ANY] if self._open_access else []) + ([key_id] if key_id else [])
            return all(name in self._known and self._known[name][0] > now_s for name in wanted)

    def _by_id(self, key_id: str) -> KeyRecord | None:
        found = self._cached(key_id, lambda: self._source.by_id(key_id))
        return found if isinstance(found, KeyRecord) else None

    def _cached(self, name: str, read: Callable[[], KeyRecord | bool | None]) -> KeyRecord | bool | None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            until_s, value = self._known.get(name, (now_s, None))
            if until_s > now_s:
                self._known.move_to_end(name)
                return value
        value = read()
        with self._lock:
            self._known[name] = (now_s + CACHE_S, value)
            self._known.move_to_end(name)
            while len(self._known) > CACHE_MAX:
                self._known.popitem(last=False)
        return value


def gate_of(app: FastAPI) -> Gate:
    """Return the application's gate, made from `app.state.services` when first asked for."""
    gate: Gate | None = getattr(app.state, "gate", None)
    if gate is None:
        services = app.state.services
        gate = app.state.gate = Gate(services.catalog.keys, services.clock, open_access=services.open_access)
    return gate


def presented(request: Request) -> str | None:
    """Return the key a request carries: `Authorization: Bearer`, else `X-API-Key`, else the login's cookie."""
    key = presented_in(request.headers)
    return request.cookies.get(COOKIE) if key is None else key


def presented_in(headers: Mapping[str, str]) -> str | None:
    """Return the key that headers, or a gRPC call's metadata, carry under names in lower case."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    return headers.get("x-api-key") or None


async def admitted(gate: Gate, plain: str | None, scope: str) -> Principal:
    """Return who holds the key `plain`, as Gate.principal() does, without blocking the event loop."""
    if gate.fresh(plain):
        return gate.principal(plain, scope)
    return await run_in_threadpool(gate.principal, plain, scope)


def require(scope: str) -> Callable[..., Awaitable[Principal]]:
    """Return a FastAPI dependency: the request's Principal, who holds `scope`, or 401 or 403."""
    if scope not in keys.SCOPES:
        raise ValueError(f"{scope!r} is not a scope; known are {', '.join(keys.SCOPES)}")

    async def principal(request: Request, _shown: object = Security(HTTPBearer(auto_error=False))) -> Principal:
        return await admitted(gate_of(request.app), presented(request), scope)

    return principal


# --- the browser's way in ----------------------------------------------------------------------------------------

_STYLE = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:26rem;margin:18vh auto;padding:0 1rem}"
    "input,button{font:inherit;padding:.5rem .75rem;width:100%;box-sizing:border-box;margin-top:.5rem}"
)
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in - Seamark</title><style>{style}</style></head>
<body><main><h1>Seamark</h1><p role="status">{note}</p>
<form method="post" action="/login"><input type="hidden" name="next" value="{next}">
<label for="key">API key of scope read, run or admin</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></form></main></body></html>
"""


def router() -> APIRouter:
    """GET and POST /login, POST /logout."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login")
    async def form(request: Request, onward: str = Query("/", alias="next")) -> Response:
        """The login form; straight on where nobody needs a key."""
        if await run_in_threadpool(gate_of(request.app).open):
            return RedirectResponse(local_path(onward), HTTPStatus.SEE_OTHER)
        return _form("This service asks for a key.", onward, HTTPStatus.OK)

    @routes.post("/login")
    async def login(request: Request) -> Response:
        """Keep a good key in a cookie and go on to `next`."""
        fields = await _fields(request)
        plain, onward = fields.get("key", "").strip(), fields.get("next", "/")
        try:
            await run_in_threadpool(gate_of(request.app).principal, plain, "read")
        except (NotAuthenticated, NotPermitted) as error:
            return _form(error.message, onward, HTTPStatus(error.status))
        answer = RedirectResponse(local_path(onward), HTTPStatus.SEE_OTHER)
        # Behind a proxy that ends TLS only the browser's own Origin tells that the page came by https.
        secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
        if keys.key_id(plain):
            answer.set_cookie(COOKIE, plain, httponly=True, samesite="strict", secure=secure)
        return answer

    @routes.post("/logout")
    async def logout() -> Response:
        """Forget the key and show the login."""
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return routes


def local_path(path: str) -> str:
    """Return `path` where it stays on this service, else "/".

    >>> local_path("/models/churn?a=1"), local_path("//evil.test"), local_path("https://evil.test")
    ('/models/churn?a=1', '/', '/')
    """
    stays = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if stays and path.isascii() and path.isprintable() else "/"


async def _fields(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_MAX_BYTES:
            raise BodyTooLarge(f"a login form has at most {FORM_MAX_BYTES} bytes")
    try:
        found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        raise Invalid("a login form has the fields key and next") from None
    return {name: values[0] for name, values in found.items()}


def _form(note: str, onward: str, status: HTTPStatus) -> Response:
    page = _PAGE.format(style=_STYLE, note=html.escape(note), next=html.escape(local_path(onward)))
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(page, status, headers)
