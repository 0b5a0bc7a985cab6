"""The service's rooms behind the ingest doors, in memory; and what senders send, with real message classes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow as pa
import uvicorn
from fastapi import FastAPI
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from seamark.core.clock import ManualClock
from seamark.core.feature_types import FixedType
from seamark.engine.feature_types import TypeGate
from seamark.telemetry import Telemetry
from seamark.web import ingest, problems
from seamark.web.intake import Intake
from seamark.web.otlp_grpc import GrpcDoor

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
START_NS = 1_767_225_600_000_000_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class MemoryBuffer:
    """Keeps what was appended; raises `fault` while there is one; waits while `gate` is closed."""

    def __init__(self):
        self.tables = []
        self.fault = None
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, tables):
        self.calls += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.tables.append(dict(tables))

    def rows(self, name):
        parts = [tables[name] for tables in self.tables if name in tables]
        return pa.concat_tables(parts).to_pylist() if parts else []


class MemoryTypes:
    """Types that rows have fixed, and how many rows were refused for another."""

    def __init__(self):
        self.fixed = {}
        self.refused = Counter()

    def of(self, model, version):
        return dict(self.fixed.get((model, version), {}))

    def fix(self, model, version, kinds, at):
        known = self.fixed.setdefault((model, version), {})
        for name, kind in kinds.items():
            known.setdefault(name, FixedType(kind, at))
        return True

    def count_refused(self, refused, at):
        self.refused.update(refused)


class MemoryCatalog:
    """Notes the schemas it is given; there are no keys."""

    def __init__(self):
        self.keys = SimpleNamespace(any=lambda: False, by_id=lambda key_id: None)
        self.schemas = []
        self.fault = None
        self.references = SimpleNamespace(in_force=lambda model, version: None)
        self.feature_types = MemoryTypes()

    def remember_schemas(self, schemas):
        if self.fault is not None:
            raise self.fault
        self.schemas.append(list(schemas))


def memory_services():
    """Services whose rows stay in memory; access is open."""
    catalog, clock = MemoryCatalog(), ManualClock(AT)
    return SimpleNamespace(
        buffer=MemoryBuffer(),
        catalog=catalog,
        clock=clock,
        types=TypeGate(catalog, clock),
        telemetry=Telemetry(),
        max_body_bytes=1_000_000,
        open_access=True,
    )


def traces(*trace_ids, model="churn", start_ns=START_NS):
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=model)))
    spans = group.scope_spans.add().spans
    for i, trace_id in enumerate(trace_ids):
        spans.add(
            trace_id=trace_id,
            span_id=(i + 1).to_bytes(8, "big"),
            name="predict",
            kind=2,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + 5_000_000,
        )
    return message.SerializeToString()


GOOD = bytes(range(16))
TRACES = traces(GOOD)
TRACES_JSON = json.dumps(
    {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": GOOD.hex(),
                                "spanId": "01" * 8,
                                "kind": 2,
                                "startTimeUnixNano": str(START_NS),
                                "endTimeUnixNano": str(START_NS + 1),
                            }
                        ]
                    }
                ]
            }
        ]
    }
).encode()


def prediction_log(prediction_id="p-1"):
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(event_name="seamark.prediction")
    features = AnyValue()
    features.kvlist_value.values.append(KeyValue(key="age", value=AnyValue(int_value=4)))
    record.attributes.append(KeyValue(key="seamark.prediction.id", value=AnyValue(string_value=prediction_id)))
    record.attributes.append(KeyValue(key="seamark.features", value=features))
    return message.SerializeToString()


def counted(services, signal):
    rows = services.telemetry._rows
    return rows[signal, "accepted"], rows[signal, "refused"]


class Doors:
    """HTTP and gRPC doors over memory services, in a thread of their own, for clients that block."""

    def __init__(self, services):
        self._app = FastAPI()
        self._app.state.services = services
        self._app.state.intake = Intake(services)
        self._app.include_router(ingest.router())
        problems.install(self._app)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self):
        door = GrpcDoor(self._app, grace_s=1.0)
        self.grpc_port = door.bind("127.0.0.1", 0)
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self.http_port = bound.getsockname()[1]
            self._server = uvicorn.Server(uvicorn.Config(self._app, log_config=None, lifespan="off"))
            self._server.capture_signals = contextlib.nullcontext
            async with door.serving(asyncio.Event()):
                self._ready.set()
                await self._server.serve([bound])

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
