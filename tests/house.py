"""The application over real stores and a manual clock, on a loopback port, without the engine's loops."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import uvicorn
from tests.empty_stores import put_catalog, put_lake

from seamark.app import create_app, known_names
from seamark.core.clock import ManualClock
from seamark.engine.configuration import Configuration
from seamark.engine.services import Services
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.heard import Heard
from seamark.telemetry import Telemetry

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def remember_nothing(services: Services) -> None:
    """Have what advice reads of all models at once read anew: a test of the same instant has stored more."""
    remembered = services.remembered
    for kept in (remembered.levels, remembered.lateness, remembered.recent, remembered.running, remembered.live):
        kept.forget()


@contextmanager
def opened_services(tmp_path: Path) -> Iterator[Services]:
    database, lake = put_catalog(tmp_path), put_lake(tmp_path)
    catalog = Catalog(database)
    with httpx.Client(timeout=5.0, trust_env=False, verify=False) as http:
        yield Services(
            clock=ManualClock(AT),
            lake=lake,
            heard=Heard(lake),
            buffer=WriteBuffer(lake, rows_max=1000),
            catalog=catalog,
            telemetry=Telemetry(),
            configuration=Configuration(catalog, known_names()),
            http=http,
            url="http://127.0.0.1:8000",
            data_dir=tmp_path,
            loadtests_dir=tmp_path / "loadtests",
            grpc_port=4317,
            loadtest_bind=("127.0.0.1", 5557),
            open_access=True,
            max_body_bytes=1 << 20,
            retention_days=30.0,
        )
    lake.close()
    database.close()


class PromptServer(uvicorn.Server):
    """Looks ten times as often whether it shall end: most of a small test is this wait."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            await asyncio.sleep(0.01)


@contextmanager
def served(services: Services) -> Iterator[httpx.Client]:
    """The application on a loopback port, without the engine's loops."""
    server = PromptServer(uvicorn.Config(create_app(services, role="web"), log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=20.0, verify=False) as opened:
            yield opened
        server.should_exit = True
        thread.join()


@dataclass
class House:
    """The application over real stores, its clock, and a model that one test alone asks of."""

    services: Services
    client: httpx.Client
    model: str

    @property
    def place(self) -> str:
        return f"/api/v1/models/{self.model}"

    def pass_s(self, seconds: float) -> None:
        self.services.clock.advance(seconds)  # type: ignore[attr-defined]

    def send(self, rows: Sequence[dict[str, Any]], media_type: str = "application/json") -> dict[str, Any]:
        """Send predictions of the model; a second later, a window that ends now holds them."""
        rows = [{"model": self.model, **row} for row in rows]
        if media_type == "application/json":
            body = json.dumps(rows).encode()
        elif media_type == "application/vnd.apache.arrow.stream":
            table = pa.Table.from_pylist(rows)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            body = sink.getvalue().to_pybytes()
        else:
            body = b"\n".join(json.dumps(row).encode() for row in rows)
        answer = self.client.post("/api/v1/predictions", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == 200, answer.text
        self.pass_s(1)
        found: dict[str, Any] = answer.json()
        return found
