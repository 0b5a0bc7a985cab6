"""An ASGI application's end becomes the moment at which everything that waits is sent.

Uvicorn ends a process on SIGTERM by the signal itself once the application has shut down: nothing that is registered
to run at exit runs then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from seamark_sdk.synthetic import ASGIApp, Receive, Scope, Send


class FlushAtShutdown:
    """ASGI: calls `flush`, which may block for a bounded time, when the application has shut down."""

    def __init__(self, app: ASGIApp, flush: Callable[[], object]) -> None:
        self.app = app
        self._flush = flush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def flush_then_send(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self._flushed()
            await send(message)

        await self.app(scope, receive, flush_then_send)

    async def _flushed(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # another event loop than asyncio's
            self._flush()
        else:
            await asyncio.to_thread(self._flush)
