"""A request's body becomes bytes: unpacked, never larger than its limit, whatever its headers claim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from isal import isal_zlib
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from seamark.core.errors import BodyTooLarge, BufferFull, InputRefused, WrongMediaType

THREAD_BYTES = 65_536  # above it, work on a body leaves the event loop
ARRIVAL_S = 60.0
_Damage: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub calls the class an instance
_GZIP = 31  # zlib's window bits for "with gzip header and checksum"
_PIECE = 65_536
_MEMBERS_MAX = 1_000


class InFlight:
    """How many bytes of bodies may be held at once; what would exceed it is told to come again."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.held = 0

    def take(self, size: int) -> None:
        """Hold `size` more bytes, or raise BufferFull."""
        if self.held + size > self._bytes_max:
            raise BufferFull("too many request bodies are being read at once; send this one again in a moment")
        self.held += size

    def release(self, size: int) -> None:
        """Give `size` bytes back."""
        self.held -= size


OBJECT_BYTES_MAX = 1024 * 1024


async def read_object(request: Request, limit: int = OBJECT_BYTES_MAX, *, needed: bool = True) -> dict[str, Any]:
    """Return a small JSON object: read, bounded, only once the handler runs, so after the key was checked.

    Where none is `needed`, no body at all is the empty object.
    """
    body = await read_written(request, limit)
    if not body and not needed:
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputRefused(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise InputRefused("the body is not a JSON object")
    return document


async def read_written(request: Request, limit: int) -> bytes:
    """Return the body of what a person writes, as a plan or a seamark.yaml: its limit is no setting."""
    try:
        return await read_body(request, limit)
    except BodyTooLarge:
        right = "rows of a load test belong in a file (payload: {file: NAME}) or a template"
        raise BodyTooLarge(f"the body is larger than {limit:,} bytes, the most that is read here; {right}") from None


async def read_body(request: Request, limit: int) -> bytes:
    """Return the request's body, unpacked.

    BodyTooLarge: it is over `limit` bytes, as sent or unpacked. WrongMediaType: an unknown Content-Encoding.
    InputRefused: damaged, cut short, or not here within ARRIVAL_S.
    """
    async with body_of(request, limit) as body:
        return body


@asynccontextmanager
async def body_of(request: Request, limit: int, in_flight: InFlight | None = None) -> AsyncIterator[bytes]:
    """Yield the body as read_body() returns it, counting its bytes in `in_flight` until the block ends.

    BufferFull: `in_flight` has no room for it.
    """
    in_flight = in_flight or InFlight(2 * limit + 1)
    packed = _is_packed(request.headers.get("content-encoding", ""))
    _check_declared(request.headers.get("content-length"), limit)
    held = 0
    try:
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(ARRIVAL_S):
                async for part in request.stream():
                    if held + len(part) > limit:
                        raise _too_large(limit)
                    in_flight.take(len(part))
                    held += len(part)
                    parts.append(part)
        except TimeoutError:
            raise InputRefused(f"the body did not arrive within {ARRIVAL_S:g} s") from None
        except ClientDisconnect:
            raise InputRefused("the sender went away before its body was complete") from None
        body = b"".join(parts)
        if packed:
            parts.clear()
            body = await run_in_threadpool(inflate, body, limit) if len(body) > 4_096 else inflate(body, limit)
            in_flight.take(len(body))
            held += len(body)
        yield body
    finally:
        in_flight.release(held)


def inflate(packed: bytes, limit: int) -> bytes:
    """Return what gzip members say, one after the other; never holds more than `limit` bytes of it.

    BodyTooLarge, or InputRefused where it is no gzip, damaged or cut short.
    """
    out = bytearray()
    stream = None
    members = 0
    view = memoryview(packed)
    try:
        for start in range(0, len(view), _PIECE):
            piece = bytes(view[start : start + _PIECE])
            while piece:
                if stream is None:
                    members += 1
                    if members > _MEMBERS_MAX:
                        raise InputRefused(f"the gzip body has more than {_MEMBERS_MAX:,} members")
                    stream = isal_zlib.decompressobj(_GZIP)
                out += stream.decompress(piece, limit - len(out) + 1)
                if len(out) > limit:
                    raise _too_large(limit)
                piece = stream.unconsumed_tail
                if stream.eof:
                    piece, stream = stream.unused_data, None
    except _Damage as error:
        raise InputRefused(f"the body is no gzip, though Content-Encoding says so: {error}") from None
    if stream is not None or not members:
        raise InputRefused("the gzip body is cut short")
    return bytes(out)


def media_type_of(request: Request) -> str:
    """Return the Content-Type without its parameters, in lower case; "" where there is none."""
    return media_type(request.headers)


def media_type(headers: Headers) -> str:
    """Return the same of a request's headers."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_packed(encoding: str) -> bool:
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return False
    if word in ("gzip", "x-gzip"):
        return True
    raise WrongMediaType(f"Content-Encoding {encoding[:100]!r} is not read here; send gzip, or leave it out")


def _check_declared(length: str | None, limit: int) -> None:
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise InputRefused(f"Content-Length {length[:40]!r} is not a number")
    if int(length[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit:,} bytes (SEAMARK_MAX_BODY_BYTES); send smaller batches")
