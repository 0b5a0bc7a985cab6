"""What no honest sender sends, or not on purpose, by the front door: answered, bounded, counted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service_process import ServiceProcess

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LOCKING = """
import sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], isolation_level=None)
catalog.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("extremes") / "data") as running:
        yield running


class Spans:
    """A request of one resource, to be filled."""

    def __init__(self, model: str, version: str = "1") -> None:
        self._request = ExportTraceServiceRequest()
        group = self._request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = model
        group.resource.attributes.add(key="service.version").value.string_value = version
        self._spans = group.scope_spans.add().spans

    def add(self, name: str = "GET /", *, trace_id: bytes | None = None, ago_s: float = 0.0) -> Any:
        end_ns = time.time_ns() - int(ago_s * 1e9)
        times = {"start_time_unix_nano": end_ns - 1_000_000, "end_time_unix_nano": end_ns}
        return self._spans.add(trace_id=trace_id or os.urandom(16), span_id=os.urandom(8), name=name, kind=2, **times)

    def send(self, service: ServiceProcess) -> httpx.Response:
        return service.http.post("/v1/traces", content=self._request.SerializeToString(), headers=PROTOBUF)


def metric(service: ServiceProcess, name: str, **labels: str) -> float:
    wanted = "".join(rf'(?=[^}}]*{label}="{value}")' for label, value in labels.items())
    found = re.search(rf"^{name}(?:\{{{wanted}[^}}]*\}})? (\S+)$", service.http.get("/metrics").text, re.MULTILINE)
    assert found, f"{name} {labels} is not on the page"
    return float(found[1])


def memory_mib(service: ServiceProcess) -> float:
    """The most memory the service has held, in MiB."""
    status = Path(f"/proc/{service.process.pid}/status")
    if not status.exists():
        pytest.skip("this system tells no process's memory")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024


@pytest.mark.parametrize("unit", [b"\x0a\x00", b"\x0a\x04\x12\x02\x12\x00"])
def test_a_body_of_millions_of_empty_messages_is_refused_in_little_memory(service: ServiceProcess, unit: bytes) -> None:
    before = memory_mib(service)
    answer = service.http.post("/v1/traces", content=unit * (60 * MIB // len(unit)), headers=PROTOBUF)
    assert answer.status_code == 413
    assert memory_mib(service) - before < 250  # the body itself, and a copy
    assert service.get("/readyz")["ready"] is True


def test_a_trace_of_a_hundred_thousand_spans_is_stored(service: ServiceProcess) -> None:
    trace_id = os.urandom(16)
    for _ in range(5):
        request = Spans("endless")
        for _ in range(20_000):
            request.add(trace_id=trace_id)
        assert request.send(service).status_code == 200
    (model,) = [one for one in service.get("/api/v1/models") if one["name"] == "endless"]
    assert sum(version["requests"] for version in model["versions"]) == 100_000
    assert service.http.get(f"/api/v1/traces/{trace_id.hex()}").status_code == 200


def test_huge_attributes_and_ten_thousand_keys_are_cut_and_counted(service: ServiceProcess) -> None:
    before = metric(service, "seamark_ingest_cut_total", what="attributes")
    request = Spans("wordy")
    request.add().attributes.add(key="huge").value.string_value = "x" * 10_000_000
    many = request.add()
    for number in range(10_000):
        many.attributes.add(key=f"key.{number}").value.int_value = number
    assert request.send(service).status_code == 200
    assert metric(service, "seamark_ingest_cut_total", what="attributes") == before + 1 + 9_000


def test_ten_thousand_routes_and_versions_fold_into_other(service: ServiceProcess) -> None:
    for batch in range(10):
        request = Spans("scattered", version=f"build-{batch}")
        for number in range(1_000):
            span = request.add(f"GET /user/{batch * 1_000 + number}")
            span.attributes.add(key="seamark.model.version").value.string_value = f"{batch}.{number}"
        assert request.send(service).status_code == 200
    page = service.http.get("/metrics").text
    assert len(page) < 4 * MIB
    assert len(set(re.findall(r'model="scattered",version="([^"]*)"', page))) <= 51
    assert metric(service, "seamark_label_values_folded_total", label="route") >= 9_000


def test_spans_of_another_century_are_kept_out_of_now(service: ServiceProcess) -> None:
    request = Spans("skewed")
    for days in (-36_500, -1, 9_000):
        request.add(ago_s=days * 86_400.0)
    answer = request.send(service)
    assert answer.status_code == 200
    (model,) = [one for one in service.get("/api/v1/models") if one["name"] == "skewed"]
    assert model["liveness"] == "live"  # something arrived just now
    points = service.get("/api/v1/models/skewed/latency", start=time.time() - 600, end=time.time(), step=600)
    assert sum(point["count"] for point in points) == 0


def test_a_locked_catalog_answers_503_and_goes_on_when_it_is_free(service: ServiceProcess) -> None:
    command = [sys.executable, "-c", LOCKING, str(service.data_dir / "lake.sqlite")]
    request = Spans("locked")
    request.add()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        refused = request.send(service)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert service.get("/healthz")["status"] == "ok"
        other.communicate("done\n", timeout=20)
    service.until(lambda: request.send(service).status_code == 200, "the service to take the span")
    (model,) = [one for one in service.get("/api/v1/models") if one["name"] == "locked"]
    assert sum(version["requests"] for version in model["versions"]) == 1
