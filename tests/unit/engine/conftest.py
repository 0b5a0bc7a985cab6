"""Services over a real catalog and a manual clock, for the engine's jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from seamark.app import known_names
from seamark.core.clock import ManualClock
from seamark.engine.configuration import Configuration
from seamark.engine.services import Services
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.catalog.database import Database
from seamark.store.heard import Heard
from seamark.store.lakes import open_ducklake as open_lake
from seamark.telemetry import Telemetry

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    database = Database(f"sqlite:///{tmp_path / 'seamark.db'}")
    database.upgrade()
    catalog = Catalog(database)
    lake = open_lake(data_dir=tmp_path, catalog_url=f"sqlite:///{tmp_path / 'seamark.db'}", location=None, s3=None)
    with httpx.Client(timeout=5.0, trust_env=False) as http:
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
            open_access=True,
            max_body_bytes=1 << 20,
            retention_days=30.0,
        )
    lake.close()
    database.close()
