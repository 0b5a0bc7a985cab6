"""Services over a real catalog and a manual clock, for the engine's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.house import House, opened_services, served

from seamark.engine.services import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with opened_services(tmp_path) as opened:
        yield opened


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    with served(services) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, httpx.Client]]:
    """The application once for all tests of a module, each of which asks of a model of its own."""
    with opened_services(tmp_path_factory.mktemp("shared")) as services, served(services) as client:
        yield services, client


@pytest.fixture
def house(shared: tuple[Services, httpx.Client], request: pytest.FixtureRequest) -> House:
    return House(*shared, re.sub(r"\W+", "-", request.node.name)[:200])
