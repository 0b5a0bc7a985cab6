"""A number of spans -> gzipped OTLP requests as a busy model server's SDK sends them, each with ids of its own."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ROUTES = ("/predict", "/predict/batch", "/explain")


class Batches:
    """Makes requests by writing fresh ids into one that was serialised: to build each anew costs more than ingest."""

    def __init__(self, model: str, spans: int) -> None:
        self.spans = spans
        request = ExportTraceServiceRequest()
        batch = request.resource_spans.add()
        for key, value in {"service.name": model, "service.version": "7", "host.name": "node-1"}.items():
            attribute = batch.resource.attributes.add(key=key)
            attribute.value.string_value = value
        scope = batch.scope_spans.add()
        now_ns = time.time_ns()
        marks = [(b"T" * 8 + n.to_bytes(8, "big"), b"S" * 4 + n.to_bytes(4, "big")) for n in range(spans)]
        for n, (trace_id, span_id) in enumerate(marks):
            _fill(scope.spans.add(trace_id=trace_id, span_id=span_id), now_ns, n)
        self._template = request.SerializeToString()
        self._places = [(self._template.index(trace_id), self._template.index(span_id)) for trace_id, span_id in marks]

    def make(self, count: int) -> Iterator[bytes]:
        """Yield so many gzipped bodies, no two spans of which share an id."""
        for _ in range(count):
            body = bytearray(self._template)
            fresh = os.urandom(24 * self.spans)
            for n, (trace_at, span_at) in enumerate(self._places):
                body[trace_at : trace_at + 16] = fresh[24 * n : 24 * n + 16]
                body[span_at : span_at + 8] = fresh[24 * n + 16 : 24 * n + 24]
            yield gzip.compress(bytes(body), compresslevel=1)


def _fill(span: Span, now_ns: int, n: int) -> None:
    span.name, span.kind = f"POST {ROUTES[n % 3]}", Span.SPAN_KIND_SERVER
    span.start_time_unix_nano = now_ns + n * 1_000_000
    span.end_time_unix_nano = span.start_time_unix_nano + (5 + n % 40) * 1_000_000
    texts = {
        "http.request.method": "POST",
        "http.route": ROUTES[n % 3],
        "url.scheme": "http",
        "user_agent.original": "bench/1",
    }
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    for key, number in {"http.response.status_code": 200 if n % 50 else 500, "server.port": 8080}.items():
        span.attributes.add(key=key).value.int_value = number
