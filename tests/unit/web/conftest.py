"""An application with the real middleware and handlers over a real SQLite catalog, asked through ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.empty_stores import put_catalog

from seamark.core.clock import ManualClock
from seamark.store.catalog import Catalog
from seamark.web import auth, guard, problems

Ask = Callable[..., httpx.Response]


@dataclass
class DoorServices:
    """The part of engine.services.Services that the doors under test use."""

    catalog: Catalog
    clock: ManualClock
    open_access: bool = True


@pytest.fixture
def services(tmp_path: Path) -> Iterator[DoorServices]:
    database = put_catalog(tmp_path)
    yield DoorServices(Catalog(database), ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    database.close()


@pytest.fixture
def app(services: DoorServices) -> FastAPI:
    made = FastAPI()
    made.state.services = services
    made.include_router(auth.router())
    problems.install(made)
    guard.install(made, host="127.0.0.1", url="https://seamark.example")
    return made


def through(app: Any) -> Ask:
    """A function that sends one request to an ASGI application."""

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        base = options.pop("base_url", "http://127.0.0.1:8000")

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=base, trust_env=False) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    return ask


@pytest.fixture
def ask(app: FastAPI) -> Ask:
    return through(app)
