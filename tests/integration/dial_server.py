"""A small real HTTP server whose latency, freezes and answers are dialled over a second port while it runs.

python dial_server.py [CERT KEY] -> prints {"port", "control_port"}; POST a JSON object of dials to the control port,
which answers with what was received. Answers with keep-alive; every request that arrived is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from contextlib import nullcontext
from typing import Any

DIALS: dict[str, Any] = {
    "latency_ms": 2.0,
    "slots": None,  # requests worked on at a time, the others wait in the order they came; None: all at once
    "status": 200,
    "location": None,
    "body": "{}",
    "mode": "answer",
}
SEEN: dict[str, Any] = {"requests": 0, "connections": 0, "last": [], "bodies": [], "held_s": 0.0}
SLOTS: dict[int, asyncio.Semaphore] = {}


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return first, headers, body


def _answer() -> bytes:
    body = DIALS["body"].encode()
    location = f"Location: {DIALS['location']}\r\n" if DIALS["location"] else ""
    length = len(body) + (10 if DIALS["mode"] == "truncate" else 0)
    head = f"HTTP/1.1 {DIALS['status']} Dialled\r\nContent-Type: application/json\r\n{location}"
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + body


async def _work() -> None:
    """Take as long as dialled, once a slot is free; a semaphore's waiters are served in the order they came."""
    slots = DIALS["slots"]
    async with SLOTS.setdefault(slots, asyncio.Semaphore(slots)) if slots else nullcontext():
        began = time.perf_counter()
        if DIALS["latency_ms"]:
            await asyncio.sleep(DIALS["latency_ms"] / 1e3)
        SEEN["held_s"] += time.perf_counter() - began


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    SEEN["connections"] += 1
    try:
        while (request := await _read_request(reader)) is not None:
            SEEN["requests"] += 1
            SEEN["last"] = [*SEEN["last"][-19:], {"line": request[0], "headers": request[1]}]
            SEEN["bodies"] = [*SEEN["bodies"][-19:], request[2].decode("utf-8", "replace")]
            await _work()
            if DIALS["mode"] == "hang":
                await asyncio.sleep(3600)
            writer.write(b"\x00\x01 not http\r\n\r\n" if DIALS["mode"] == "garbage" else _answer())
            await writer.drain()
            if DIALS["mode"] in ("truncate", "garbage"):
                break
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def _control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await _read_request(reader)
    if request is not None:
        dials = json.loads(request[2] or b"{}")
        freeze_s, after_s = dials.pop("freeze_s", None), dials.pop("freeze_after_s", 0.0)
        if freeze_s:
            asyncio.get_running_loop().call_later(after_s, time.sleep, freeze_s)
        DIALS.update(dials)
        body = json.dumps(SEEN).encode()
        writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
    writer.close()


async def _end_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


async def _main() -> None:
    tls = None
    if len(sys.argv) == 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=4096, ssl=tls)
    control = await asyncio.start_server(_control, "127.0.0.1", 0)
    ports = {"port": server.sockets[0].getsockname()[1], "control_port": control.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    await _end_with_parent()
    sys.exit(0)


if __name__ == "__main__":
    asyncio.run(_main())
