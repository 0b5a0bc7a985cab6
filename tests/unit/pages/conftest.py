"""The sample application of the browser tests, asked without a browser."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "browser"))

from sample_app import LiveSource, make_app


class Client:
    """Asks an application in this process."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a path; redirects are not followed."""
        return asyncio.run(self._get(path, options))

    async def _get(self, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.get(path, **options)

    def raw(self, path: str, **options: Any) -> tuple[httpx.Headers, bytes]:
        """GET a path; the body as it went over the wire."""
        return asyncio.run(self._raw(path, options))

    async def _raw(self, path: str, options: dict[str, Any]) -> tuple[httpx.Headers, bytes]:
        transport = httpx.ASGITransport(self._app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
            client.stream("GET", path, **options) as answer,
        ):
            return answer.headers, b"".join([part async for part in answer.aiter_raw()])


@pytest.fixture
def client() -> Callable[..., Client]:
    """`client("full")` -> a client of the pages over that scene's facts."""

    def make(scene: str = "full", *, open_access: bool = True) -> Client:
        return Client(make_app(LiveSource(scene), open_access=open_access))

    return make
