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
from tests.empty_stores import put_lake

from seamark.web import loadtests, system


def test_a_service_whose_disk_is_full_is_not_ready(
    app: FastAPI, ask: Callable[..., httpx.Response], services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.include_router(system.router())
    services.lake = put_lake(tmp_path)
    services.configuration = SimpleNamespace(problem=None)
    assert ask("GET", "/readyz").json() == {"ready": True, "checks": {"lake": "ok", "catalog": "ok"}}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    answer = ask("GET", "/readyz")
    assert answer.status_code == 503
    assert "4,096 bytes are free" in answer.json()["checks"]["lake"]
    services.lake.close()
    assert ask("GET", "/readyz").json()["checks"]["lake"] == "the lake is closed"


def test_a_plan_with_thousands_of_rows_is_told_where_rows_belong(
    app: FastAPI, ask: Callable[..., httpx.Response]
) -> None:
    app.include_router(loadtests.router())
    plan = {"model": "churn", "payload": {"rows": [{"text": "x" * 120} for _ in range(9_000)]}}
    answer = ask("PUT", "/api/v1/loadtests/large", json=plan)
    assert answer.status_code == 413
    told = answer.json()["detail"]
    assert "1,048,576 bytes" in told and "payload: {file: NAME}" in told
    assert "SEAMARK_MAX_BODY_BYTES" not in told and "batches" not in told
