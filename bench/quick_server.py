"""Run in a process of its own: a server that answers at once, and freezes one time where it is told to.

`python -m bench.quick_server [AFTER_S FREEZE_S]` prints its port; the freeze comes AFTER_S after the first request. It
parses no more of HTTP than it must, so that a load generator, not it, is what a bench measures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"prediction":1}'
FREEZE = [float(argument) for argument in sys.argv[1:3]]


class Quick(asyncio.Protocol):
    """Answers every request; blocks the whole loop once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        self._transport, self._read = cast(asyncio.Transport, transport), b""  # uvloop's is of no asyncio class

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            if FREEZE:
                after_s, freeze_s = FREEZE
                FREEZE.clear()
                asyncio.get_running_loop().call_later(after_s, time.sleep, freeze_s)
            self._transport.write(ANSWER)


async def serve() -> None:
    """Serve until nobody holds stdin open."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Quick, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve())
