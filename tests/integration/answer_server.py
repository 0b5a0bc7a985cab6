"""A small real HTTP server that answers like a chat endpoint, an inference server and a plain model, as it is dialled.

python answer_server.py '{"first_ms": 30, ...}' -> prints {"port"}; it keeps connections alive and ends with its parent.
POST /v1/chat/completions streams tokens, POST /v2/models/m/infer and /predict answer the sum of what they are sent.
GET /seen tells the requests so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

DIALS: dict[str, Any] = {
    "first_ms": 30.0,  # from the request to its first token
    "gap_ms": 10.0,
    "tokens": 6,
    "stream": True,
    "usage": True,
    "break_every": 0,  # each so manieth stream ends with an error event
    "wrong_every": 0,  # each so manieth answer is another one than the sum
    "piece": 0,  # bytes per write, 0: an event at once
}
SEEN: dict[str, Any] = {"requests": 0, "bodies": [], "headers": []}


async def _chunks(number: int) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the chunks of one stream; None: it ends with an error."""
    yield {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    for place in range(DIALS["tokens"]):
        await asyncio.sleep((DIALS["gap_ms"] if place else DIALS["first_ms"]) / 1e3)
        if place == 2 and DIALS["break_every"] and number % DIALS["break_every"] == 0:
            yield None
            return
        yield {"choices": [{"delta": {"content": f"t{place} "}, "finish_reason": None}]}
    yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    if DIALS["usage"]:
        yield {"choices": [], "usage": {"completion_tokens": DIALS["tokens"]}}


async def _stream(writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for chunk in _chunks(number):
        if chunk is None:
            await _write(writer, b'event: error\r\ndata: {"message": "out of memory"}\r\n\r\n')
        else:
            await _write(writer, b": ping\n\ndata: " + json.dumps(chunk).encode() + b"\r\n\r\n")
    await _write(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _write(writer: asyncio.StreamWriter, text: bytes) -> None:
    size = DIALS["piece"] or len(text)
    for start in range(0, len(text), size):
        part = text[start : start + size]
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()


def _answer(path: str, body: dict[str, Any], number: int) -> dict[str, Any]:
    wrong = 1.0 if DIALS["wrong_every"] and number % DIALS["wrong_every"] == 0 else 0.0
    if path == "/v1/chat/completions":
        usage = {"completion_tokens": DIALS["tokens"]}
        return {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}], "usage": usage}
    if path.startswith("/v2/"):
        if "inputs" not in body:
            return {"error": "no inputs"}
        total = sum(value for tensor in body["inputs"] for value in tensor["data"])
        return {"outputs": [{"name": "sum", "shape": [1], "datatype": "FP64", "data": [total + wrong]}]}
    return {"prediction": sum(body.values()) + wrong}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            path = head[0].split(" ")[1]
            if path != "/seen":
                SEEN["requests"] += 1
                SEEN["bodies"] = [*SEEN["bodies"][-49:], json.loads(body)]
                SEEN["headers"] = [*SEEN["headers"][-49:], headers]
            if path == "/v1/chat/completions" and DIALS["stream"]:
                await _stream(writer, SEEN["requests"])
                continue
            told = json.dumps(SEEN if path == "/seen" else _answer(path, json.loads(body), SEEN["requests"])).encode()
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n".encode() + told)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    DIALS.update(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(_main())
