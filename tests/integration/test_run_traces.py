"""A load test against a server with stock OpenTelemetry: its spans are the run's, and say where time went."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.service_process import CLEAN, ServiceProcess, free_port

pytestmark = [pytest.mark.slow, pytest.mark.paced]
SERVER = Path(__file__).parent / "instrumented_server.py"
CONFIG = """
models: [{{name: sums}}]
targets: {{allow: ["{origin}"]}}
loadtests:
  - name: traced
    model: sums
    target: "{origin}/predict"
    payload: {{file: rows.jsonl}}
    shape: {{constant: {{rate_rps: 20, duration_s: 2, arrivals: uniform}}}}
    thresholds: ["error_ratio < 0.01", "answer_mismatch_ratio < 0.2", "goodput_ratio > 0.5", "p99(latency_ms) < 3000"]
  - name: replayed
    model: sums
    target: "{origin}/predict"
    payload: {{replay: 1h}}
    shape: {{constant: {{rate_rps: 20, duration_s: 1, arrivals: uniform}}}}
    thresholds: ["answer_mismatch_ratio < 0.01"]
"""


def test_a_runs_spans_say_where_server_time_went(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    origin = f"http://127.0.0.1:{port}"
    (data / "loadtests").mkdir(parents=True)
    rows = ['{"x": 1, "expected": 1}', '{"x": 2, "expected": 2.5}', '{"x": 3, "expected": 3}', '{"x": 4}']
    (data / "loadtests" / "rows.jsonl").write_text("\n".join(rows))
    with ServiceProcess(data) as service:
        command = [sys.executable, str(SERVER), "sums", str(port), service.url]
        with subprocess.Popen(command, env=CLEAN) as server:
            try:
                await_answer(f"{origin}/docs")
                service.apply(CONFIG.format(origin=origin))
                answer = service.http.post("/api/v1/loadtests/traced/runs?wait=60", timeout=90)
                assert answer.status_code == 200, answer.text
                check(service, answer.json())
                check_replay(service)
            finally:
                server.terminate()


def check(service: ServiceProcess, run: dict[str, Any]) -> None:
    assert run["errors"] == 0 and run["requests"] == 40
    assert run["answers"] == {"compared": 30, "mismatched": 10, "mismatch_ratio": 1 / 3}
    assert run["status"] == "failed" and "answer_mismatch_ratio < 0.2" in run["reason"]
    assert run["goodput"]["limits"] == ["p99(latency_ms) < 3000"] and run["goodput"]["ratio"] == 1.0
    assert run["tokens"] is None

    path = f"/api/v1/runs/{run['id']}/traces"
    service.until(lambda: service.get(path)["linked"] == 40, "the spans of all requests")
    found = service.get(path)
    names = {span["name"]: span for span in found["names"]}
    assert found["requests"] == 40 and {"POST /predict", "load features", "infer"} <= names.keys()
    assert found["names"][0]["name"] == "infer" and names["infer"]["share"] > 0.6
    assert names["infer"]["spans"] == 40 and names["infer"]["p50_ms"] >= 19 and names["infer"]["p99_ms"] >= 99
    assert names["POST /predict"]["self_ms"] < names["POST /predict"]["total_ms"] / 2
    assert sum(span["share"] for span in found["names"]) == pytest.approx(1.0)
    slowest = found["slowest"]
    assert len(slowest) == 10 and {request["server_name"] for request in slowest} == {"sums: POST /predict"}
    for request in slowest:
        # The server's span may end a little after the client has its answer.
        assert request["server_ms"] >= 99 and 99 <= request["service_latency_ms"] <= request["latency_ms"]
        assert request["trace_id"].startswith(run["id"])
        spans = service.get(f"/api/v1/traces/{request['trace_id']}")
        (root,) = [span for span in spans if span["kind"] == 2]
        assert root["synthetic"] and root["name"] == "POST /predict"
    latency = service.get("/api/v1/models/sums/latency")
    assert sum(point["count"] for point in latency) == 1, "only our own look at /docs"

    page = service.http.get(f"/api/v1/runs/{run['id']}/report.html").text
    assert "Where server time went" in page and f"/traces/{slowest[0]['trace_id']}" in page
    text = service.http.get(f"/api/v1/runs/{run['id']}/report.md").text
    assert "Where server time went" in text and "10 of 30 answers were not the recorded ones" in text


def check_replay(service: ServiceProcess) -> None:
    """The log says what was answered: one row of four otherwise than the server does now."""
    logged = [{"model": "sums", "features": {"x": x}, "prediction": x + (x == 2)} for x in (0, 1, 2, 3)]
    assert service.http.post("/api/v1/predictions", json=logged).status_code == 200
    run = service.http.post("/api/v1/loadtests/replayed/runs?wait=60", timeout=90).json()
    assert run["answers"] == {"compared": 20, "mismatched": 5, "mismatch_ratio": 0.25}, run
    assert run["status"] == "failed" and run["errors"] == 0


def await_answer(url: str) -> None:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        try:
            if httpx.get(url, trust_env=False, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
