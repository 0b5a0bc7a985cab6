"""OpenTelemetry's own Node.js SDK, installed for this test, sends all three signals in every encoding it has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.service_process import CLEAN, ROOT, ServiceProcess, free_port

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SPANS, PREDICTIONS, ORDINARY = 200, 30, 5
SOURCE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def client():
    """The script, with its packages beside it."""
    npm, folder = shutil.which("npm"), ROOT / ".build" / "soak-node"
    if npm is None:
        pytest.skip("there is no npm on this machine: OpenTelemetry's Node.js SDK is not tried")
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    made = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"npm could not install OpenTelemetry's Node.js SDK: {made.stderr.strip()[-300:]}")
    return folder / "send.mjs"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    port = free_port()
    with ServiceProcess(tmp_path_factory.mktemp("node"), "--grpc-port", str(port)) as running:
        running.grpc_port = port
        yield running


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf", "grpc"])
def test_all_three_signals_arrive(client, service, protocol, compression):
    model = f"node-{protocol.replace('/', '-')}-{compression}"
    port = service.grpc_port if protocol == "grpc" else service.port
    environment = {
        "OTEL_SERVICE_NAME": model,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_NODE_RESOURCE_DETECTORS": "env",
    }
    kinds = [("traces", "accepted"), ("logs", "accepted"), ("logs", "refused"), ("metrics", "accepted")]
    before = [service.ingested(*kind) for kind in kinds]
    command = ["node", str(client), str(SPANS), str(PREDICTIONS), str(ORDINARY)]
    sent = subprocess.run(
        command, env=CLEAN | environment | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stderr
    after = [service.ingested(*kind) for kind in kinds]
    told = sent.stdout + sent.stderr
    assert [b - a for a, b in zip(before, after, strict=True)] == [SPANS, PREDICTIONS, ORDINARY, 4], told
    (version,) = service.get(f"/api/v1/models/{model}")["versions"]
    assert (version["requests"], version["predictions"]) == (SPANS, PREDICTIONS)
