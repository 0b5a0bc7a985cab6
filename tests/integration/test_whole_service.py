"""The service by its front door: start, take, tell, refuse, survive, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from service_process import CLEAN, ServiceProcess, free_port, run_cli

pytestmark = pytest.mark.slow

STOCK_SDK = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
for _ in range(25):
    with trace.get_tracer("stock").start_as_current_span("GET /price"):
        pass
provider.shutdown()
"""


def test_a_stock_otel_sdk_without_any_seamark_code_is_seen(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "data", makes_stores=True) as service:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": service.url,
            "OTEL_SERVICE_NAME": "pricing",
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=7",
        }
        subprocess.run([sys.executable, "-c", STOCK_SDK], env={**CLEAN, **settings}, check=True, timeout=60)
        (model,) = service.get("/api/v1/models")
        assert model["name"] == "pricing"
        assert model["liveness"] == "live"
        assert [(v["version"], v["requests"]) for v in model["versions"]] == [("7", 25)]
        points = service.get("/api/v1/models/pricing/latency", by="version,route")
        assert sum(point["count"] for point in points) == 25
        assert {(p["version"], p["route"]) for p in points if p["count"]} == {("7", "GET /price")}
        assert all(p["p99_ms"] >= p["p50_ms"] >= 0 for p in points if p["count"])


def test_a_second_serve_on_the_same_folder_says_so_and_exits_2(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        second = run_cli("serve", "--data-dir", str(tmp_path / "data"), "--port", "0", "--otlp-port", "0")
        assert second.returncode == 2
        assert str(service.process.pid) in second.stderr
        assert "--data-dir" in second.stderr
        assert service.get("/healthz")["status"] == "ok"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        answer = service.http.post("/api/v1/labels", json=[{"model": "m", "prediction_id": "a", "label": 1}])
        assert answer.json()["accepted"] == 1
        assert service.stop(number) == 0
        assert "everything acknowledged is stored" in service.log


def test_kill_9_during_ingest_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with ServiceProcess(tmp_path / "data") as service:

        def send(worker: int) -> None:
            with httpx.Client(base_url=service.url, timeout=10.0, trust_env=False) as client:
                for batch in range(10_000):
                    ids = [f"{worker}-{batch}-{row}" for row in range(50)]
                    rows = [{"model": "m", "prediction_id": i, "features": {"x": 1.0}, "prediction": 0} for i in ids]
                    try:
                        answer = client.post("/api/v1/predictions", json=rows)
                    except httpx.TransportError:
                        return
                    if answer.status_code == 200:
                        acknowledged.extend(answer.json()["ids"])

        senders = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
        for sender in senders:
            sender.start()
        service.until(lambda: len(acknowledged) > 3000, "some batches to be acknowledged")
        service.process.kill()
        service.process.wait()
        for sender in senders:
            sender.join()
    assert len(acknowledged) > 3000
    with ServiceProcess(tmp_path / "data") as service:
        (model,) = service.get("/api/v1/models")
        stored = sum(version["predictions"] for version in model["versions"])
        # A batch may be stored whose answer the kill cut off; never the other way round.
        assert len(acknowledged) <= stored <= len(acknowledged) + 4 * 50
        assert not list((tmp_path / "data").glob("seamark-run-*"))


def test_an_address_others_reach_needs_keys(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    refused = run_cli("serve", "--host", "0.0.0.0", "--port", "0", "--otlp-port", "0", "--data-dir", data)
    assert refused.returncode == 2
    assert "keys create" in refused.stderr
    made = run_cli("keys", "create", "--scope", "read", "--local", "--data-dir", data)
    assert made.returncode == 0
    key = made.stdout.strip()
    with ServiceProcess(tmp_path / "data", "--host", "127.0.0.1") as service:
        assert service.http.get("/api/v1/models").status_code == 401
        allowed = {"Authorization": f"Bearer {key}"}
        assert service.http.get("/api/v1/models", headers=allowed).status_code == 200
        denied = service.http.put("/api/v1/config", content="models: []", headers=allowed)
        assert denied.status_code == 403
        assert "admin" in denied.json()["detail"]


def test_a_key_bound_to_one_model_sees_no_other(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    keys = {
        model: run_cli("keys", "create", "--scope", "run", "--local", "--data-dir", data, *flags).stdout.strip()
        for model, flags in {"own": ("--model", "own"), "every": ()}.items()
    }
    admin = run_cli("keys", "create", "--scope", "admin", "--local", "--data-dir", data).stdout.strip()
    config = """
models: [{name: own, drift: {}}, {name: other, drift: {}}]
targets: {allow: ["http://127.0.0.1:9"]}
loadtests:
  - name: theirs
    model: other
    target: "http://127.0.0.1:9/"
    payload: {rows: [{x: 1}]}
    shape: {constant: {rate_rps: 1, duration_s: 1}}
"""
    with ServiceProcess(tmp_path / "data") as service:

        def ask(method: str, path: str, key: str, **kwargs: object) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return service.http.request(method, path, headers=headers, **kwargs)  # type: ignore[arg-type]

        assert ask("PUT", "/api/v1/config", admin, content=config).status_code == 200
        run = ask("POST", "/api/v1/loadtests/theirs/runs", keys["every"])
        assert run.status_code == 202
        assert [model["name"] for model in ask("GET", "/api/v1/models", keys["own"]).json()] == ["own"]
        assert ask("GET", "/api/v1/loadtests", keys["own"]).json() == []
        assert {rule["labels"]["model"] for rule in ask("GET", "/api/v1/alerts/rules", keys["own"]).json()} == {"own"}
        refused = [
            ("GET", "/api/v1/models/other"),
            ("GET", "/api/v1/models/other/drift"),
            ("GET", "/api/v1/loadtests/theirs"),
            ("POST", "/api/v1/loadtests/theirs/runs"),
            ("GET", run.headers["Location"]),
            ("GET", run.headers["Location"] + "/events"),
            ("POST", run.headers["Location"] + "/stop"),
            ("GET", "/runs/" + run.json()["id"]),
            ("GET", "/models/other"),
            ("GET", "/metrics"),
            ("GET", "/api/v1/config"),
        ]
        assert {path: ask(method, path, keys["own"]).status_code for method, path in refused} == {
            path: 403 for _, path in refused
        }


def test_a_taken_port_is_told_and_otlp_port_is_optional(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run_cli("serve", "--port", str(port), "--otlp-port", "0", "--data-dir", str(tmp_path / "a"))
        assert refused.returncode == 2
        assert str(port) in refused.stderr
        with ServiceProcess(tmp_path / "b", "--otlp-port", str(port)) as service:
            assert service.get("/healthz")["status"] == "ok"


def test_the_otlp_port_is_listened_to_when_free(tmp_path: Path) -> None:
    port = free_port()
    with ServiceProcess(tmp_path / "data", "--otlp-port", str(port)):
        headers = {"Content-Type": "application/x-protobuf"}
        assert httpx.post(f"http://127.0.0.1:{port}/v1/traces", content=b"", headers=headers).status_code == 200


def test_a_bad_seamark_yaml_lists_every_problem_and_changes_nothing(tmp_path: Path) -> None:
    good = "models: [{name: churn}]\n"
    bad = "models:\n  - name: churn\n    slow: {}\n  - nome: x\ntargets: {allow: [ftp://x]}\n"
    with ServiceProcess(tmp_path / "data") as service:
        assert service.apply(good)["changes"] == ["+ model churn"]
        assert service.apply(good)["changes"] == []
        refused = service.http.put("/api/v1/config", content=bad)
        assert refused.status_code == 422
        assert refused.headers["content-type"].startswith("application/problem+json")
        lines = {error["line"] for error in refused.json()["errors"]}
        assert {3, 4, 5} <= lines
        assert service.get("/api/v1/config")["text"] == good
        path = tmp_path / "bad.yaml"
        path.write_text(bad)
        told = run_cli("apply", "-f", str(path), "--url", service.url)
        assert told.returncode == 2
        assert "line 3" in told.stderr
        assert run_cli("check", "-f", str(path)).returncode == 2


def test_a_catalog_of_a_newer_seamark_is_refused(tmp_path: Path) -> None:
    import sqlite3

    data = tmp_path / "data"
    assert run_cli("db", "upgrade", "--data-dir", str(data)).returncode == 0
    with sqlite3.connect(data / "seamark.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = run_cli("serve", "--data-dir", str(data), "--port", "0", "--otlp-port", "0")
    assert refused.returncode == 2
    assert "newer Seamark" in refused.stderr


def test_hostile_requests_get_an_answer_and_the_service_lives(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        requests = [
            ("POST", "/api/v1/predictions", b"{" * 100_000),
            ("POST", "/api/v1/predictions", b'[{"model": "' + b"a" * 10_000 + b'"}]'),
            ("POST", "/v1/traces", os.urandom(5_000)),
            ("PUT", "/api/v1/config", b"a: &a [*a]"),
            ("PUT", "/api/v1/config", b"\xff\xfe"),
            ("PUT", "/api/v1/loadtests/..%2f..%2fetc", b"{}"),
            ("PUT", "/api/v1/models/x/reference", b"PAR1" + b"\0" * 100 + b"PAR1"),
            ("GET", "/api/v1/models/x/latency?start=9e999", b""),
            ("GET", "/api/v1/models/%00/drift", b""),
            ("GET", "/static/..%2f..%2fsettings.py", b""),
            ("GET", "/api/v1/traces/zz", b""),
        ]
        for method, path, body in requests:
            answer = service.http.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert 200 <= answer.status_code < 500, (method, path, answer.status_code, answer.text)
        assert service.http.get("/api/v1/models", headers={"Host": "evil.test"}).status_code in (400, 421)
        crossing = {"Origin": "http://evil.test"}
        assert service.http.put("/api/v1/config", content="models: []", headers=crossing).status_code == 403
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        assert service.http.get("/healthz", headers=upgrade).status_code == 200
        assert service.get("/readyz")["ready"] is True
        assert "pgrade request" not in service.log and "WebSocket" not in service.log, "anybody could fill it"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_answers_503_and_recovers(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = "size=48m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "seamark-test", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        with ServiceProcess(disk / "data") as service:
            rows = [{"model": "m", "prediction_id": "before", "features": {"x": 1.0}, "prediction": 0}]
            assert service.http.post("/api/v1/predictions", json=rows).status_code == 200
            filler = disk / "filler"
            with filler.open("wb") as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 16)):
                    file.flush()
            rows[0]["prediction_id"] = "during"
            refused = service.http.post("/api/v1/predictions", json=rows)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert service.get("/healthz")["status"] == "ok"
            filler.unlink()

            def taken() -> bool:
                return service.http.post("/api/v1/predictions", json=rows).status_code == 200

            service.until(taken, "the service to take rows again", 30.0)
            (model,) = service.get("/api/v1/models")
            assert sum(version["predictions"] for version in model["versions"]) == 2
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
