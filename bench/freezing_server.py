"""Run in a process of its own: an HTTP server that answers at once and freezes one time, as in a long collection.

`python -m bench.freezing_server AFTER_S FREEZE_S` prints its port; the freeze comes AFTER_S after the first request.
"""

from __future__ import annotations

import asyncio
import sys
import time

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"prediction":1}'


class Freezing:
    """Answers every request; blocks the whole loop once."""

    def __init__(self, after_s: float, freeze_s: float) -> None:
        self._after_s, self._freeze_s = after_s, freeze_s
        self._due = False

    async def serve(self) -> None:
        """Serve until killed, or until nobody holds stdin open."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                await reader.readexactly(length)
                if not self._due:
                    self._due = True
                    asyncio.get_running_loop().call_later(self._after_s, time.sleep, self._freeze_s)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


if __name__ == "__main__":
    asyncio.run(Freezing(float(sys.argv[1]), float(sys.argv[2])).serve())
