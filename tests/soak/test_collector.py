"""A real OpenTelemetry Collector, built for this test, forwards all three signals over gRPC and over HTTP."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from tests.service_process import ROOT, ServiceProcess, free_port

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1_800)]

SPANS, PREDICTIONS, POINTS = 5_000, 200, 20
SOURCE = Path(__file__).parent / "collector"
CONFIG = """
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}"}}}}}}
processors:
  batch: {{timeout: 200ms, send_batch_size: 512}}
exporters:
  otlp_grpc: {{endpoint: "127.0.0.1:{grpc_port}", compression: {compression}, tls: {{insecure: true}}}}
  otlp_http: {{endpoint: "http://127.0.0.1:{http_port}", compression: {compression}, encoding: {encoding}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
    logs: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
    metrics: {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
"""


@pytest.fixture(scope="module")
def collector():
    """The Collector's program, built from its modules into .build/."""
    go, program = shutil.which("go"), ROOT / ".build" / "soak-collector" / "collector"
    if go is None:
        pytest.skip("there is no Go on this machine: the OpenTelemetry Collector is not tried")
    program.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [go, "build", "-trimpath", "-o", str(program), "."], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the OpenTelemetry Collector could not be built: {made.stderr.strip()[-300:]}")
    return program


class Collector:
    """One running Collector that forwards to a service."""

    def __init__(self, program, folder, **values):
        self.port = free_port()
        self._config = folder / "collector.yaml"
        self._config.write_text(CONFIG.format(port=self.port, **values))
        self._log = folder / "collector.log"
        with self._log.open("w") as log:
            command = [str(program), "--config", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self):
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, self.log
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.1)

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()

    @property
    def log(self):
        return self._log.read_text()


def send(port, model, spans=SPANS):
    told = {"endpoint": f"http://127.0.0.1:{port}", "insecure": True}
    resource = Resource.create({"service.name": model})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**told), max_queue_size=10 * SPANS))
    tracer = tracing.get_tracer("stock")
    for _ in range(spans):
        with tracer.start_as_current_span("GET /predict", kind=SpanKind.SERVER):
            pass
    logging = LoggerProvider(resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**told)))
    for number in range(PREDICTIONS):
        attributes = {"seamark.features": {"age": number}, "seamark.prediction.value": 1}
        logging.get_logger("stock").emit(
            timestamp=time.time_ns(), event_name="seamark.prediction", attributes=attributes
        )
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(**told), export_interval_millis=3_600_000)
    metering = MeterProvider([reader], resource)
    counter = metering.get_meter("stock").create_counter("requests")
    for number in range(POINTS):
        counter.add(1, {"route": f"/{number}"})
    for provider in (tracing, logging):
        assert provider.force_flush()
        provider.shutdown()
    metering.shutdown()  # collects once more: a flush before it would send every point twice


KINDS = [("traces", "accepted"), ("logs", "accepted"), ("metrics", "accepted")]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("exporter, encoding", [("otlp_grpc", "proto"), ("otlp_http", "proto"), ("otlp_http", "json")])
def test_all_three_signals_are_forwarded(collector, tmp_path, exporter, encoding, compression):
    grpc_port = free_port()
    with ServiceProcess(tmp_path / "data", "--grpc-port", str(grpc_port)) as service:
        values = {"exporter": exporter, "encoding": encoding, "compression": compression}
        with Collector(collector, tmp_path, grpc_port=grpc_port, http_port=service.port, **values) as between:
            send(between.port, "collected")
            wanted = [SPANS, PREDICTIONS, POINTS]
            service.until(lambda: [service.ingested(*kind) for kind in KINDS] == wanted, f"{wanted}", 60.0)
        (version,) = service.get("/api/v1/models/collected")["versions"]
        assert (version["requests"], version["predictions"]) == (SPANS, PREDICTIONS)


@pytest.mark.parametrize("exporter", ["otlp_grpc", "otlp_http"])
def test_a_collector_waits_for_a_service_that_was_away_and_nothing_is_lost(collector, tmp_path, exporter):
    grpc_port = free_port()
    first = ServiceProcess(tmp_path / "data", "--grpc-port", str(grpc_port))
    values = {"exporter": exporter, "encoding": "proto", "compression": "gzip", "http_port": first.port}
    with first, Collector(collector, tmp_path, grpc_port=grpc_port, **values) as between:
        first.stop()
        send(between.port, "collected", 500)
        port = ["--port", str(first.port), "--grpc-port", str(grpc_port)]
        second = ServiceProcess(tmp_path / "data", *port)
        second.url = first.url
        second.http.base_url = first.url
        with second as service:
            service.until(lambda: service.ingested("traces", "accepted") >= 500, "the spans", 90.0)
            service.until(lambda: service.ingested("logs", "accepted") >= PREDICTIONS, "the predictions", 90.0)
            (version,) = service.get("/api/v1/models/collected")["versions"]
            assert (version["requests"], version["predictions"]) == (500, PREDICTIONS)
