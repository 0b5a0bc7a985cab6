"""gRPC's port, and OTLP on it: a call's message becomes the intake's answer, or a status that says if a retry helps.

Messages are taken as the bytes they are: the intake decodes them, once, and gzip is unpacked here and not by gRPC, so
that the limit holds while a message is unpacked and not only after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from seamark.core.errors import BufferFull, InputRefused, SeamarkError, StartRefused, TryLater
from seamark.web.auth import Principal, admitted, gate_of
from seamark.web.bodies import inflate
from seamark.web.external_scaler import ExternalScaler
from seamark.web.grpc_calls import end, key_of
from seamark.web.intake import UNFORESEEN, Intake
from seamark.wire.otlp import Encoding

log = logging.getLogger(__name__)

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
CALLS_AT_ONCE = 256
READS_AT_ONCE = 8  # each may hold a message of the largest size before it is counted as in flight
ARRIVAL_S = 20.0  # exporters give a call up after 10 s
CONNECTIONS_MAX = 500  # half of the files a process may usually open
UNPACK_INLINE_BYTES = 4_096  # above it, unpacking leaves the event loop
_GZIP_MAGIC = b"\x1f\x8b"  # no protobuf message begins like this: 7 is not a wire type


def options(max_body_bytes: int) -> list[tuple[str, int]]:
    """Return gRPC's settings: what one message, one connection and all of them may use."""
    return [
        ("grpc.max_receive_message_length", max_body_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", 0b101),  # identity and gzip; others are UNIMPLEMENTED
        ("grpc.so_reuseport", 0),  # a taken port must be an error, not shared
        ("grpc.max_concurrent_streams", 100),
        ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
        ("grpc.server_handshake_timeout_ms", 20_000),  # who connects and says nothing
        ("grpc.max_connection_idle_ms", 600_000),
        ("grpc.keepalive_time_ms", 60_000),  # a peer that vanished is noticed
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # who pings more often is sent away
        ("grpc.http2.max_ping_strikes", 2),
    ]


class GrpcDoor:
    """The three Export services and KEDA's external scaler on one port, in the running event loop."""

    def __init__(self, app: FastAPI, grace_s: float) -> None:
        """Calls under way when the service stops get `grace_s`."""
        self._app = app
        self._grace_s = grace_s
        self._intake: Intake = app.state.intake
        self._limit: int = app.state.services.max_body_bytes
        self._calls = 0
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._storing: set[asyncio.Task[bytes]] = set()
        self._scaler = ExternalScaler(app)
        exports = [_service(name, partial(self._answer, signal)) for signal, name in SERVICES.items()]
        self._server = grpc.aio.server(
            handlers=[*exports, self._scaler.handler()],
            options=options(self._limit),
        )

    def bind(self, host: str, port: int) -> int:
        """Take the port, 0 for a free one, and return it. StartRefused where it is taken."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound: int = self._server.add_insecure_port(address)
        except RuntimeError:
            raise StartRefused(
                f"cannot listen on {address} for gRPC; name another --grpc-port, or 0 for none"
            ) from None
        return bound

    @asynccontextmanager
    async def serving(self, stopping: asyncio.Event) -> AsyncIterator[None]:
        """Answer calls within the block. From `stopping` on no new one is taken; those under way are finished."""
        self._scaler.stopping = stopping
        await self._server.start()
        ending = asyncio.create_task(self._end(stopping), name="grpc-stop")
        try:
            yield
        finally:
            stopping.set()
            await ending

    async def close(self) -> None:
        """Let go of the port at once; nothing happens where serving() has ended."""
        await self._server.stop(None)

    async def _end(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        await self._server.stop(self._grace_s)

    async def _answer(self, signal: str, _messages: Any, call: Any) -> bytes:
        """Return the answer to one Export call, or end it with its status."""
        refused: SeamarkError
        self._calls += 1
        try:
            return await self._export(signal, call)
        except SeamarkError as error:
            refused = error
            if error.status >= 500:
                log.warning("gRPC %s: %s", signal, error.message)
        except Exception:
            # Not INTERNAL: that would have the sender drop rows which are not stored.
            log.exception("gRPC %s", signal)
            refused = TryLater(UNFORESEEN)
        finally:
            self._calls -= 1
        await end(call, refused)
        raise AssertionError("abort() does not return")

    async def _export(self, signal: str, call: Any) -> bytes:
        if self._calls > CALLS_AT_ONCE:
            raise BufferFull(f"more than {CALLS_AT_ONCE} calls are under way; send this one again in a moment")
        # Who may not send does not get to have a message read.
        who = await admitted(gate_of(self._app), key_of(call), "ingest")
        message = await self._message(call)
        # A sender that gives up sends again: what was begun is finished, and its second try is then answered from
        # memory instead of being stored twice.
        task = asyncio.create_task(self._store(who, signal, message))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
        return await asyncio.shield(task)

    async def _message(self, call: Any) -> bytes:
        """Return the call's one message as sent, counted as in flight; _store() releases it."""
        try:
            async with asyncio.timeout(ARRIVAL_S), self._reads:
                message = await call.read()
                more = message is not grpc.aio.EOF and await call.read() is not grpc.aio.EOF
                if message is grpc.aio.EOF or more:
                    raise InputRefused("an Export call has exactly one message")
                self._intake.in_flight.take(len(message))
        except TimeoutError:
            raise TryLater(f"the message did not arrive within {ARRIVAL_S:g} s; send it again") from None
        received: bytes = message
        return received

    async def _store(self, who: Principal, signal: str, message: bytes) -> bytes:
        in_flight = self._intake.in_flight
        held = len(message)
        try:
            body = message
            if message[:2] == _GZIP_MAGIC:
                small = len(message) <= UNPACK_INLINE_BYTES
                body = (
                    inflate(message, self._limit) if small else await run_in_threadpool(inflate, message, self._limit)
                )
                in_flight.take(len(body))
                held += len(body)
            return await self._intake.export(who, signal, Encoding.PROTOBUF, body)
        finally:
            in_flight.release(held)


def _service(name: str, answer: Any) -> Any:
    # Export is unary; taken as a stream of messages, so that the key is checked before a message is read.
    return grpc.method_handlers_generic_handler(name, {"Export": grpc.stream_unary_rpc_method_handler(answer)})
