"""A request answered before its body was read, on a connection that closes then -> its sender can read the answer.

A connection that is closed while bytes are still arriving is reset, and a reset discards the answer on its way.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_BYTES_MAX = 128 * 1024 * 1024
DRAIN_S = 5.0


class ReadBeforeClosing:
    """ASGI: reads what is left of a body, bounded in bytes and time, before an answer that ends the connection.

    Where the connection stays open the server itself skips what is left, after the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _ends(scope):
            await self.app(scope, receive, send)
            return
        left = True

        async def read() -> Message:
            nonlocal left
            message = await receive()
            left = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and left:
                await _drain()
            await send(message)

        async def _drain() -> None:
            size = 0
            try:
                async with asyncio.timeout(DRAIN_S):
                    while left and size < DRAIN_BYTES_MAX:
                        size += len((await read()).get("body", b""))
            except TimeoutError:
                pass

        await self.app(scope, read, answer)


def _ends(scope: Scope) -> bool:
    """Whether a body is coming, unasked, on a connection that its sender wants closed after the answer."""
    headers = Headers(scope=scope)
    if "expect" in headers or not ("content-length" in headers or "transfer-encoding" in headers):
        return False
    wanted = headers.get("connection", "").lower()
    return "close" in wanted or (scope.get("http_version") == "1.0" and "keep-alive" not in wanted)
