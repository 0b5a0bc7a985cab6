"""What a browser could be tricked into is refused at the door: foreign host names, foreign origins, sniffing, framing.

A service on loopback is reachable by every page its user opens. The Host check stops a name that was rebound to
127.0.0.1; the origin check stops forms and scripts of other sites, session cookie or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seamark.web.otlp_status import is_otlp, status_response
from seamark.web.problems import respond

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = ("GET", "HEAD", "OPTIONS")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def install(app: FastAPI, *, host: str, url: str) -> None:
    """Put the guards around `app`, bound to `host` and reached at `url`. Call it after problems.install."""
    # The last one added is the outermost.
    app.add_middleware(OriginGuard, url=url)
    app.add_middleware(HostGuard, allowed=allowed_hosts(host, url))
    app.add_middleware(SecurityHeaders)


def allowed_hosts(bound_host: str, url: str) -> frozenset[str] | None:
    """Return the host names this service answers to; None: any, as it is bound to every address.

    Who binds to every address has keys in force, and a rebound name has no cookie of ours: the check would only
    lock out whatever names a cluster gives the service.

    >>> sorted(allowed_hosts("127.0.0.1", "https://seamark.example/x"))
    ['127.0.0.1', '::1', 'localhost', 'seamark.example']
    """
    if _everywhere(bound_host):
        return None
    return LOOPBACK | {bound_host.lower().strip("[]")} | {urlsplit(url).hostname or "localhost"}


def _everywhere(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


class HostGuard:
    """ASGI: a request for a host that is not ours -> 421; without exactly one well-formed Host -> 400."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str] | None) -> None:
        self.app = app
        self.allowed = None if allowed is None else frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        place = _place(f"//{hosts[0]}") if len(hosts) == 1 else None
        if place is None:
            await _refuse(scope, receive, send, 400, "send exactly one Host header, a name or address and maybe a port")
        elif self.allowed is not None and place[0] not in self.allowed:
            reason = f"this service does not answer to {place[0][:100]!r}; if it should, set SEAMARK_PUBLIC_URL"
            await _refuse(scope, receive, send, 421, reason)
        else:
            await self.app(scope, receive, send)


class OriginGuard:
    """ASGI: a request that can change something and comes from a page of another origin -> 403."""

    def __init__(self, app: ASGIApp, url: str = "") -> None:
        self.app = app
        self.url = urlsplit(url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in _SAFE)
        if guarded and not self._ours(Headers(scope=scope)):
            reason = "this request comes from a page of another site; only pages of this service may send it"
            await _refuse(scope, receive, send, 403, reason)
        else:
            await self.app(scope, receive, send)

    def _ours(self, headers: Headers) -> bool:
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return False
        return all(self._is_ours(origin, headers.get("host", "")) for origin in headers.getlist("origin"))

    def _is_ours(self, origin: str, host: str) -> bool:
        scheme = origin.partition("://")[0].lower()
        port = _DEFAULT_PORTS.get(scheme)
        place = _place(origin)
        if port is None or place is None:
            return False  # "null" and schemes of other programs
        asked = _with_port(place, port)
        if asked == _with_port(_place(f"//{host}"), port):
            return True
        return self.url.scheme == scheme and asked == _with_port(_place(f"//{self.url.netloc}"), port)


class SecurityHeaders:
    """ASGI: headers on every answer; a page that sets its own Content-Security-Policy keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dress(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                # Not no-referrer: browsers would then send our own forms with `Origin: null`.
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers.setdefault("Content-Security-Policy", "frame-ancestors 'none'")
            await send(message)

        await self.app(scope, receive, dress)


def _place(url: str) -> tuple[str, int | None] | None:
    """Return host (lower case, no brackets, no last dot) and port of `//host:port`, or None for anything odd."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.path or parts.query or parts.fragment or not url.isprintable():
        return None
    return host.rstrip("."), port


def _with_port(place: tuple[str, int | None] | None, default: int) -> tuple[str, int] | None:
    return None if place is None else (place[0], place[1] or default)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    elif is_otlp(scope["path"]):
        await status_response(Headers(scope=scope), status, reason)(scope, receive, send)
    else:
        await respond(status, "urn:seamark:not-permitted", reason)(scope, receive, send)
