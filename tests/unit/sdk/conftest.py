"""A real HTTP server that takes OTLP, keeps what came, and can refuse or hang."""

import gzip
import http.server
import threading
import time

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import seamark_sdk

MESSAGES = {"/v1/logs": ExportLogsServiceRequest, "/v1/traces": ExportTraceServiceRequest}


def plain(value):
    """An AnyValue as Python's own value; an empty one is None."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return pairs(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def pairs(attributes):
    return {pair.key: plain(pair.value) for pair in attributes}


class Collector:
    def __init__(self):
        self.requests = []  # (path, headers, decoded message)
        self.statuses = []  # answers to come; then 200
        self.gate = threading.Event()  # cleared: requests hang
        self.gate.set()
        self.asked = threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.asked.set()
                collector.gate.wait(30)
                status = collector.statuses.pop(0) if collector.statuses else 200
                if status == 200:
                    message = MESSAGES[self.path].FromString(body)
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    collector.requests.append((self.path, headers, message))
                try:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the sender has given up

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()

    @property
    def events(self):
        """Every log record that came: (event name, attributes, record, resource)."""
        return [
            (record.event_name, pairs(record.attributes), record, pairs(group.resource.attributes))
            for path, _, message in self.requests
            if path == "/v1/logs"
            for group in message.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]

    @property
    def spans(self):
        """Every span that came: (span, attributes, resource)."""
        return [
            (span, pairs(span.attributes), pairs(group.resource.attributes))
            for path, _, message in self.requests
            if path == "/v1/traces"
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, condition, timeout_s=10):
        until = time.monotonic() + timeout_s
        while not condition(self):
            assert time.monotonic() < until, f"did not come in {timeout_s} s; there are {self.requests}"
            self.gate.wait(0.01) if not self.gate.is_set() else threading.Event().wait(0.01)


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def connect(collector, monkeypatch):
    """Make clients of the collector that leave this process's global tracer provider alone, and end them."""
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: None)
    for variable in ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY"):
        monkeypatch.setenv(variable, "20")
    for variable in ("OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "SEAMARK_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    made = []

    def start(**arguments):
        client = seamark_sdk.init(**{"model": "churn", "version": "3", "endpoint": collector.url, **arguments})
        made.append(client)
        return client

    yield start
    collector.gate.set()
    for client in made:
        client.shutdown(2)
