"""Requests of load tests and probes are recognised, so that their spans and predictions are marked as synthetic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace import get_current_span

from seamark_sdk.records import SYNTHETIC

HEADER = b"seamark-synthetic"
USER_AGENT = b"seamark-loadtest"
KINDS = ("test", "bot")  # OpenTelemetry's values of user_agent.synthetic.type
_NO = ("", "0", "false", "no")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_kind: ContextVar[str | None] = ContextVar("seamark_synthetic", default=None)


def current_kind() -> str | None:
    """Return `test` or `bot` where the work at hand is for synthetic traffic, else None."""
    return _kind.get() or _word(baggage.get_baggage(SYNTHETIC))


def kind_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return how a request's headers mark it: by `seamark-synthetic`, by baggage, or by a load test's User-Agent.

    >>> kind_of([(b"user-agent", b"seamark-loadtest/1")]), kind_of([(b"seamark-synthetic", b"0")])
    ('test', None)
    """
    for name, value in headers:
        lower = name.lower()
        if lower == HEADER:
            kind = _word(value.decode("latin-1"))
        elif lower == b"user-agent":
            kind = "test" if value.startswith(USER_AGENT) else None
        elif lower == b"baggage":
            context = W3CBaggagePropagator().extract({"baggage": value.decode("latin-1")})
            kind = _word(baggage.get_baggage(SYNTHETIC, context))
        else:
            continue
        if kind:
            return kind
    return None


class SyntheticMiddleware:
    """ASGI: marks the server span of a synthetic request, and every prediction logged while it is answered.

    It must stand inside OpenTelemetry's own middleware, where the server span is the current one;
    `Seamark.instrument(app)` sees to that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope["headers"]) if scope["type"] in ("http", "websocket") else None
        if kind is None:
            await self.app(scope, receive, send)
            return
        get_current_span().set_attribute(SYNTHETIC, kind)
        token = _kind.set(kind)
        try:
            await self.app(scope, receive, send)
        finally:
            _kind.reset(token)


def _word(value: object) -> str | None:
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in _NO:
        return None
    return text if text in KINDS else "test"
