"""Servers for lakes, started when first asked for, once per test process, and stopped at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.empty_stores import put_lake
from tests.lake_places import BUCKET, LakePlace, PostgresServer, running_postgres, s3_client

from seamark.store.lake_connection import S3Options


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Options]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    options = S3Options(f"http://127.0.0.1:{port}", "us-east-1", "key-word", "secret-word")
    s3_client(options).create_bucket(Bucket=BUCKET)
    yield options
    server.stop()


@pytest.fixture
def place_in(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], LakePlace]]:
    """A maker of empty places; servers are started when first asked for."""
    made: list[LakePlace] = []

    def make(kind: str) -> LakePlace:
        folder = tmp_path / f"place-{len(made)}"
        options: dict[str, Any] = {"data_dir": folder, "catalog_url": "sqlite://", "location": None, "s3": None}
        if kind.startswith("postgres"):
            server: PostgresServer = request.getfixturevalue("postgres")
            options["catalog_url"] = server.take_database()
            options["location"] = str(tmp_path / f"files-{len(made)}")
        if kind.endswith("s3"):
            options["s3"] = request.getfixturevalue("s3_server")
            options["location"] = f"s3://{BUCKET}/{tmp_path.name}-{len(made)}"
        if kind == "sqlite+folder":
            put_lake(folder).close()
        made.append(LakePlace(kind, options))
        return made[-1]

    yield make
    for place in made:
        for lake in place.opened:
            lake.close()
        if place.kind.startswith("postgres"):
            request.getfixturevalue("postgres").give_back(place.options["catalog_url"])
