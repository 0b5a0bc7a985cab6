"""Settings -> sockets bound and the application served until a signal; then drained."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pyarrow as pa
import uvicorn
from fastapi import FastAPI

from seamark.app import create_app, hold_folder, open_services
from seamark.core.errors import StartRefused
from seamark.settings import GRPC_PORT, Settings

if TYPE_CHECKING:
    from seamark.web.otlp_grpc import GrpcDoor

log = logging.getLogger(__name__)


def _no_word_of_upgrades(record: logging.LogRecord) -> bool:
    """Anybody can ask for an upgrade, and nothing is wrong here: a log that they fill hides what is."""
    told = record.getMessage()
    return not told.startswith(("Unsupported upgrade request", "No supported WebSocket library"))


_M_ARENA_MAX = -8  # malloc.h of the GNU C library
_ARENAS = 2
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 4 << 20


class _Server(uvicorn.Server):
    """Uvicorn raises a caught signal again once it has shut down; here a signal is the way to end well."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; StartRefused says why it does not start."""
    # Child processes work in folders of their own: a relative path would mean another place to them.
    settings = replace(settings, data_dir=settings.data_dir.resolve())
    with hold_folder(settings.data_dir):
        _clear(settings.data_dir)
        spare_memory()
        _serve(settings)
    log.info("Seamark has stopped; everything acknowledged is stored")


def _clear(data_dir: Path) -> None:
    """Remove the work folders of a service that was killed."""
    for left in [*data_dir.glob("seamark-run-*"), *data_dir.glob("seamark-report-*")]:
        shutil.rmtree(left, ignore_errors=True)


def spare_memory() -> None:
    """Let all threads, and Arrow, take memory from few heaps: each keeps what it once needed.

    What is large, as a window's columns are, goes back to the system as soon as it is let go.
    """
    if "CS_GNU_LIBC_VERSION" in os.confstr_names:
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    pa.set_memory_pool(pa.system_memory_pool())


def _serve(settings: Settings) -> None:
    sockets = _bind(settings)
    try:
        port = sockets[0].getsockname()[1]
        settings = replace(settings, port=port)
        with open_services(settings) as services:
            app = create_app(services, host=settings.host, role=settings.role)
            config = uvicorn.Config(
                app,
                log_config=None,
                ws="none",  # nothing here speaks WebSocket
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(int(settings.shutdown_grace_s), 1),
                h11_max_incomplete_event_size=64 * 1024,
            )
            log.info("Seamark is at %s (data in %s, process %d)", settings.url, settings.data_dir, os.getpid())
            logging.getLogger("uvicorn.error").addFilter(_no_word_of_upgrades)
            server = _Server(config)
            # What is loaded by now stays; and requests of many small parts should not set the collector off at each.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            asyncio.run(_run(server, app, settings, sockets))
            if not server.started:
                raise StartRefused("the service did not come up; the log above says why")
    finally:
        for bound in sockets:
            bound.close()


async def _run(server: _Server, app: FastAPI, settings: Settings, sockets: list[socket.socket]) -> None:
    """Serve until the end. gRPC's port belongs to this event loop; the application starts and ends its door."""
    door = app.state.grpc = _grpc_door(app, settings)
    try:
        await server.serve(sockets=sockets)
    finally:
        if door is not None:
            await door.close()


def _grpc_door(app: FastAPI, settings: Settings) -> GrpcDoor | None:
    """Bind gRPC's port; None where there is to be none, or where the usual one is taken and nobody named it."""
    if settings.grpc_port == 0 or settings.role == "worker":
        return None
    # gRPC's core would write a line for whatever any sender gets wrong; it reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from seamark.web.otlp_grpc import GrpcDoor

    door = GrpcDoor(app, settings.shutdown_grace_s)
    try:
        port = door.bind(settings.host, settings.grpc_port or GRPC_PORT)
    except StartRefused:
        if settings.grpc_port is not None:
            raise
        log.info("port %d is taken; gRPC (OTLP, KEDA's external scaler) is not served", GRPC_PORT)
        return None
    log.info("gRPC is served on port %d: OTLP, and KEDA's external scaler", port)
    return door


def _bind(settings: Settings) -> list[socket.socket]:
    """Bind the port, and OTLP's own where it is free."""
    try:
        sockets = [_socket(settings.host, settings.port)]
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "name another --host or --port"
        ) from None
    if settings.otlp_port and settings.otlp_port != settings.port and settings.role != "worker":
        try:
            sockets.append(_socket(settings.host, settings.otlp_port))
        except OSError:
            log.info("port %d is taken; OTLP is received on port %d only", settings.otlp_port, settings.port)
    return sockets


def _socket(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound
