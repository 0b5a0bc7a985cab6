"""OpenTelemetry's own Python SDK, over HTTP and over gRPC, is understood, and what it repeats is stored once."""

from __future__ import annotations

import time

import grpc
import pytest
from opentelemetry.exporter.otlp.proto import http as over_http
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from tests.memory_services import Doors, memory_services
from tests.service_process import ServiceProcess, free_port

from seamark.core.errors import BufferFull

SPANS, PREDICTIONS, ORDINARY = 200, 30, 5


class OverHttp:
    """The http/protobuf exporters."""

    def __init__(self, http_port, grpc_port, packed):
        compression = over_http.Compression.Gzip if packed else over_http.Compression.NoCompression
        base = f"http://127.0.0.1:{http_port}/v1"
        self.spans = http_traces.OTLPSpanExporter(f"{base}/traces", compression=compression)
        self.logs = http_logs.OTLPLogExporter(f"{base}/logs", compression=compression)
        self.metrics = http_metrics.OTLPMetricExporter(f"{base}/metrics", compression=compression)


class OverGrpc:
    """The gRPC exporters."""

    def __init__(self, http_port, grpc_port, packed):
        told = {
            "endpoint": f"http://127.0.0.1:{grpc_port}",
            "insecure": True,
            "compression": grpc.Compression.Gzip if packed else grpc.Compression.NoCompression,
        }
        self.spans = grpc_traces.OTLPSpanExporter(**told)
        self.logs = grpc_logs.OTLPLogExporter(**told)
        self.metrics = grpc_metrics.OTLPMetricExporter(**told)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    port = free_port()
    with ServiceProcess(tmp_path_factory.mktemp("stock"), "--grpc-port", str(port)) as running:
        running.grpc_port = port
        yield running


def send_spans(exporter, resource):
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=64))
    tracer = provider.get_tracer("stock")
    for number in range(SPANS):
        with tracer.start_as_current_span("GET /predict", kind=SpanKind.SERVER) as span:
            span.set_attributes({"http.route": "/predict", "http.response.status_code": 200, "n": number})
            if number % 10 == 0:
                span.record_exception(ValueError("no"))
                span.set_status(StatusCode.ERROR, "no")
    assert provider.force_flush()
    provider.shutdown()


def send_logs(exporter, resource):
    provider = LoggerProvider(resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("stock")
    for number in range(PREDICTIONS):
        attributes = {"seamark.features": {"age": number, "plan": "pro"}, "seamark.prediction.value": number % 2}
        logger.emit(timestamp=time.time_ns(), event_name="seamark.prediction", attributes=attributes)
    for _ in range(ORDINARY):
        logger.emit(timestamp=time.time_ns(), body="an ordinary line", attributes={"a": 1})
    assert provider.force_flush()
    provider.shutdown()


def send_metrics(exporter, resource):
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider([reader], resource)
    meter = provider.get_meter("stock")
    meter.create_counter("requests").add(3, {"route": "/predict"})
    meter.create_up_down_counter("queue.length").add(7)
    meter.create_gauge("utilisation").set(0.5)
    meter.create_histogram("duration", "s").record(0.25)
    provider.shutdown()  # collects once more: a flush before it would send every point twice


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("exporters", [OverHttp, OverGrpc])
def test_all_three_signals_arrive_and_are_counted(service, exporters, packed):
    model = f"{exporters.__name__}-{packed}"
    resource = Resource.create({"service.name": model, "service.version": "7"})
    kinds = [("traces", "accepted"), ("logs", "accepted"), ("logs", "refused"), ("metrics", "accepted")]
    before = {kind: service.ingested(*kind) for kind in kinds}
    told = exporters(service.port, service.grpc_port, packed)
    send_spans(told.spans, resource)
    send_logs(told.logs, resource)
    send_metrics(told.metrics, resource)
    assert [service.ingested(*kind) - before[kind] for kind in kinds] == [SPANS, PREDICTIONS, ORDINARY, 4]
    (version,) = service.get(f"/api/v1/models/{model}")["versions"]
    assert (version["version"], version["requests"], version["predictions"]) == ("7", SPANS, PREDICTIONS)


@pytest.mark.parametrize("exporters", [OverHttp, OverGrpc])
def test_what_was_not_taken_is_sent_again_and_stored_once(exporters):
    services = memory_services()
    append = services.buffer.append

    async def full_once(tables):
        services.buffer.append = append
        raise BufferFull("too much waits")

    services.buffer.append = full_once
    with Doors(services) as doors:
        provider = TracerProvider()
        exporter = exporters(doors.http_port, doors.grpc_port, True).spans
        provider.add_span_processor(BatchSpanProcessor(exporter))
        with provider.get_tracer("stock").start_as_current_span("work") as span:
            pass
        assert provider.force_flush()
        provider.shutdown()
    (row,) = services.buffer.rows("spans")
    assert row["span_id"] == span.get_span_context().span_id.to_bytes(8, "big")


@pytest.mark.parametrize("exporters", [OverHttp, OverGrpc])
def test_a_key_that_is_missing_is_not_asked_for_again_and_again(exporters):
    services = memory_services()
    services.open_access = False
    with Doors(services) as doors:
        exporter = exporters(doors.http_port, doors.grpc_port, False).spans
        span = TracerProvider().get_tracer("stock").start_span("work")
        span.end()
        assert exporter.export([span]) is SpanExportResult.FAILURE
        exporter.shutdown()
    assert services.buffer.calls == 0
