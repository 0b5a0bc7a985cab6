"""`seamark release check` against a real service that took its rows by the front door: each exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from service_process import ServiceProcess, run_cli

pytestmark = pytest.mark.slow

REQUESTS = 1_500
CONFIG = """
models:
  - name: org/churn
    release: {latency_p50: 20%, latency_p95: 20%, latency_p99: off, error_ratio: 2%, warmup: 0s}
"""


def otlp(version: str, now_ns: int, *, slower: float, seed: int, count: int = REQUESTS) -> dict[str, Any]:
    """An OTLP/JSON request with a version's spans of the last fifty minutes."""
    rng = np.random.default_rng(seed)
    starts = now_ns - rng.integers(1_000_000_000, 3_000_000_000_000, count)
    durations = (rng.lognormal(17, 0.2, count) * slower).astype(np.int64)
    resource = {"service.name": "org/churn", "service.version": version}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
    spans = [
        {
            "traceId": rng.bytes(16).hex(),
            "spanId": rng.bytes(8).hex(),
            "name": "POST /predict",
            "kind": 2,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + duration),
        }
        for start, duration in zip(starts.tolist(), durations.tolist(), strict=True)
    ]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("release") / "data") as service:
        now_ns = time.time_ns()
        bodies = [
            otlp("1", now_ns, slower=1.0, seed=1),
            otlp("2", now_ns, slower=1.0, seed=2),
            otlp("2-slow", now_ns, slower=1.5, seed=3),
            otlp("2-new", now_ns, slower=1.0, seed=4, count=20),
        ]
        for body in bodies:
            assert service.http.post("/v1/traces", json=body).status_code == 200
        service.apply(CONFIG)
        yield service


def check(service: ServiceProcess, candidate: str, *more: str, model: str = "org/churn") -> Any:
    versions = ("--baseline", "1", "--candidate", candidate)
    return run_cli("release", "check", model, *versions, "--url", service.url, *more)


@pytest.mark.parametrize(
    "candidate, code, verdict", [("2", 0, "promote"), ("2-slow", 1, "hold"), ("2-new", 3, "inconclusive")]
)
def test_the_exit_code_is_the_verdict(service: ServiceProcess, candidate: str, code: int, verdict: str) -> None:
    done = check(service, candidate)
    assert (done.returncode, done.stdout.partition(":")[0]) == (code, verdict), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["baseline", "candidate", "effect", "90", "%", "interval", "tolerated", "state"]
    assert any(line.split()[0] == "latency_p95" and line.split()[-1] != "-" for line in lines[2:])
    assert not any("latency_p99" in line for line in lines)


def test_the_document_can_be_had(service: ServiceProcess) -> None:
    done = check(service, "2-slow", "--format", "json", "--window", "55m")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["ok"]) == (1, "hold", False)
    assert answer["metrics"][0]["effect"] == pytest.approx(0.5, abs=0.1)


def test_other_errors_are_those_of_every_command(service: ServiceProcess) -> None:
    same = check(service, "1")
    assert (same.returncode, "name two versions" in same.stderr) == (2, True)
    nobody = check(service, "2", model="chrun")
    assert (nobody.returncode, "nothing is known of 'chrun'" in nobody.stderr) == (2, True)
    wrong = check(service, "2", "--window", "soon")
    assert (wrong.returncode, "not a duration" in wrong.stderr) == (2, True)
    silent = run_cli("release", "check", "m", "--baseline", "1", "--candidate", "2", "--url", "http://127.0.0.1:9")
    assert (silent.returncode, "seamark serve" in silent.stderr) == (5, True)
    assert run_cli("release", "check", "m", "--baseline", "1").returncode == 2
