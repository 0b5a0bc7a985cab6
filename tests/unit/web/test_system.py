"""Whether rows can be taken and read is told as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from seamark.store.lakes import open_ducklake
from seamark.web import system


def test_a_service_whose_disk_is_full_is_not_ready(
    app: FastAPI, ask: Callable[..., httpx.Response], services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.include_router(system.router())
    services.lake = open_ducklake(data_dir=tmp_path, catalog_url="sqlite://")
    services.configuration = SimpleNamespace(problem=None)
    assert ask("GET", "/readyz").json() == {"ready": True, "checks": {"lake": "ok", "catalog": "ok"}}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    answer = ask("GET", "/readyz")
    assert answer.status_code == 503
    assert "4,096 bytes are free" in answer.json()["checks"]["lake"]
    services.lake.close()
    assert ask("GET", "/readyz").json()["checks"]["lake"] == "the lake is closed"
