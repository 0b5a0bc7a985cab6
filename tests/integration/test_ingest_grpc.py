"""The gRPC door: what it answers, what is stored by then, and what hostile senders cannot make it do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import threading
import time
from pathlib import Path

import grpc
import pytest
from fastapi import FastAPI
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.memory_services import GOOD, TRACES, counted, memory_services, prediction_log, traces
from tests.service_process import ServiceProcess, free_port, run_cli

from seamark import serving
from seamark.core.errors import BufferFull, StoreUnavailable
from seamark.settings import Settings
from seamark.web import otlp_grpc
from seamark.web.auth import Principal, gate_of
from seamark.web.intake import Intake
from seamark.web.otlp_grpc import SERVICES, GrpcDoor

GZIP = grpc.Compression.Gzip
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS
UNLIMITED = [("grpc.max_send_message_length", -1)]
EXPORT = {signal_name: f"/{service}/Export" for signal_name, service in SERVICES.items()}


@pytest.fixture
def services():
    return memory_services()


class Client:
    """Calls the door's methods with bytes, as a generated stub would with messages."""

    def __init__(self, channel, app, port, stopping):
        self.channel, self.app, self.port, self.stopping = channel, app, port, stopping

    async def export(self, content=TRACES, signal_name="traces", **options):
        return await self.channel.unary_unary(EXPORT[signal_name])(content, timeout=20, **options)

    async def refusal(self, content=TRACES, signal_name="traces", **options):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.export(content, signal_name, **options)
        return caught.value


def over_grpc(services, scenario):
    async def run():
        app = FastAPI()
        app.state.services = services
        app.state.intake = Intake(services)
        door = GrpcDoor(app, grace_s=5.0)
        port = door.bind("127.0.0.1", 0)
        stopping = asyncio.Event()
        async with (
            door.serving(stopping),
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED) as channel,
        ):
            return await scenario(Client(channel, app, port, stopping))

    return asyncio.run(run())


def retry_s(error):
    """The seconds after which the sender should try again; None where it should not."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    if details is None:
        return None
    status = Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    told = RetryInfo()
    assert status.details[0].Unpack(told)
    assert RetryInfo.FromString(dict(error.trailing_metadata())["google.rpc.retryinfo-bin"]) == told
    return told.retry_delay.seconds


@pytest.mark.parametrize("compression", [None, GZIP])
def test_spans_are_stored_before_they_are_acknowledged(services, compression):
    answer = over_grpc(services, lambda client: client.export(compression=compression))
    assert answer == b""
    (row,) = services.buffer.rows("spans")
    assert row["trace_id"] == GOOD
    assert counted(services, "traces") == (1, 0)


def test_the_answer_waits_for_the_commit(services):
    async def scenario(client):
        services.buffer.gate.clear()
        task = asyncio.create_task(client.export())
        await until(lambda: services.buffer.calls == 1)
        assert not task.done()
        services.buffer.gate.set()
        return await task

    assert over_grpc(services, scenario) == b""


async def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_each_signal_has_its_answer_and_names_what_was_refused(services):
    async def scenario(client):
        spans = ExportTraceServiceResponse.FromString(await client.export(traces(GOOD, b"\x01")))
        logs = ExportLogsServiceResponse.FromString(await client.export(prediction_log(), "logs"))
        return spans, logs, ExportMetricsServiceResponse.FromString(await client.export(b"", "metrics"))

    spans, logs, metrics = over_grpc(services, scenario)
    assert spans.partial_success.rejected_spans == 1
    assert "trace id has 1 bytes" in spans.partial_success.error_message
    assert not logs.HasField("partial_success")
    assert not metrics.HasField("partial_success")
    assert len(services.buffer.rows("predictions")) == 1


@pytest.mark.parametrize(
    "content, compression, code, sentence",
    [
        (b"\xff\xff", None, "INVALID_ARGUMENT", "no ExportTraceServiceRequest in protobuf"),
        (b"\x1f\x8bjunk" * 9, None, "INVALID_ARGUMENT", "no gzip"),
        (TRACES, grpc.Compression.Deflate, "UNIMPLEMENTED", "deflate"),
        (b"a" * 1_000_001, None, "RESOURCE_EXHAUSTED", "larger than max"),
        (b"\0" * 1_000_001, GZIP, "RESOURCE_EXHAUSTED", "larger than 1,000,000 bytes"),
    ],
    ids=["malformed", "broken-gzip", "deflate", "large", "bomb"],
)
def test_what_a_retry_cannot_mend_has_no_retry_info(services, content, compression, code, sentence):
    error = over_grpc(services, lambda client: client.refusal(content, compression=compression))
    assert (error.code().name, retry_s(error)) == (code, None)
    assert sentence in error.details()
    assert services.buffer.calls == 0


@pytest.mark.parametrize(
    "fault, wait_s",
    [(BufferFull("too much waits"), 1), (StoreUnavailable("no disk \u2603"), 5), (RuntimeError("surprise"), 5)],
)
def test_what_cannot_be_stored_now_is_unavailable_with_retry_info(services, fault, wait_s):
    async def scenario(client):
        services.buffer.fault = fault
        error = await client.refusal()
        services.buffer.fault = None
        assert await client.export() == b""
        return error

    error = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error)) == ("UNAVAILABLE", wait_s)
    assert len(services.buffer.rows("spans")) == 1


def test_what_nobody_foresaw_is_not_lost_and_tells_nothing_of_the_inside(services):
    async def scenario(client):
        services.clock = None
        return await client.refusal()

    error = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error)) == ("UNAVAILABLE", 1)
    assert "clock" not in error.details()
    assert "NoneType" not in error.details()


@pytest.mark.parametrize(
    "raised, code",
    [(None, "UNAUTHENTICATED"), (Principal("ingest", "k", "other"), "PERMISSION_DENIED")],
    ids=["no key", "another model's"],
)
def test_keys_are_asked_for_as_over_http(services, raised, code):
    services.open_access = False

    async def scenario(client):
        if raised is not None:
            gate_of(client.app).principal = lambda plain, needed: raised
        return await client.refusal()

    error = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error)) == (code, None)
    assert services.buffer.calls == 0


@pytest.mark.parametrize(
    "name, value", [("authorization", "Bearer smk_k"), ("authorization", "bearer  smk_k"), ("x-api-key", "smk_k")]
)
def test_a_key_comes_in_metadata(services, name, value):
    async def scenario(client):
        seen = []
        gate_of(client.app).principal = lambda plain, needed: seen.append((plain, needed)) or Principal("ingest")
        await client.export(metadata=((name, value),))
        return seen

    assert over_grpc(services, scenario) == [("smk_k", "ingest")]


def test_who_has_no_key_does_not_get_its_message_read(services):
    services.open_access = False
    services.max_body_bytes = 200_000_000

    async def scenario(client):
        call = client.channel.stream_unary(EXPORT["traces"])()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call  # nothing was sent, and the answer is there
        return caught.value.code().name

    assert over_grpc(services, scenario) == "UNAUTHENTICATED"


@pytest.mark.parametrize("messages", [[], [TRACES, TRACES]], ids=["none", "two"])
def test_a_call_has_exactly_one_message(services, messages):
    async def scenario(client):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.channel.stream_unary(EXPORT["traces"])(iter(messages), timeout=20)
        return caught.value

    assert over_grpc(services, scenario).code().name == "INVALID_ARGUMENT"
    assert services.buffer.calls == 0


def test_a_message_that_does_not_arrive_is_given_up_and_holds_nobody(services, monkeypatch):
    monkeypatch.setattr(otlp_grpc, "ARRIVAL_S", 0.3)
    monkeypatch.setattr(otlp_grpc, "READS_AT_ONCE", 1)

    async def scenario(client):
        slow = client.channel.stream_unary(EXPORT["traces"])()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await slow
        assert await client.export() == b""
        return caught.value

    error = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error)) == ("UNAVAILABLE", 1)


def test_more_calls_than_are_served_at_once_are_told_to_come_again(services, monkeypatch):
    monkeypatch.setattr(otlp_grpc, "CALLS_AT_ONCE", 2)

    async def scenario(client):
        services.buffer.gate.clear()
        waiting = [asyncio.create_task(client.export(traces(bytes([i + 1] * 16)))) for i in range(2)]
        await until(lambda: services.buffer.calls == 2)
        error = await client.refusal()
        services.buffer.gate.set()
        await asyncio.gather(*waiting)
        assert await client.export() == b""
        return error

    error = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error)) == ("UNAVAILABLE", 1)


def test_bytes_in_flight_are_shared_with_the_other_doors_and_given_back(services):
    async def scenario(client):
        in_flight = client.app.state.intake.in_flight
        in_flight.take(4_000_000)
        error = await client.refusal()
        in_flight.release(4_000_000)
        await client.export(compression=GZIP)
        await client.refusal(b"\xff")
        await client.refusal(b"\0" * 1_000_001, compression=GZIP)
        return error, in_flight.held

    error, held = over_grpc(services, scenario)
    assert (error.code().name, retry_s(error), held) == ("UNAVAILABLE", 1, 0)


def test_a_sender_that_gave_up_and_sends_again_is_stored_once(services):
    async def scenario(client):
        services.buffer.gate.clear()
        call = client.channel.unary_unary(EXPORT["traces"])(TRACES)
        await until(lambda: services.buffer.calls == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        again = asyncio.create_task(client.export(compression=GZIP))
        await asyncio.sleep(0.05)
        services.buffer.gate.set()
        await again

    over_grpc(services, scenario)
    assert services.buffer.calls == 1
    assert len(services.buffer.rows("spans")) == 1


def test_calls_under_way_are_finished_when_the_service_stops(services):
    async def scenario(client):
        services.buffer.gate.clear()
        task = asyncio.create_task(client.export())
        await until(lambda: services.buffer.calls == 1)
        client.stopping.set()
        await asyncio.sleep(0.05)
        late = await client.refusal()
        services.buffer.gate.set()
        return await task, late.code().name

    assert over_grpc(services, scenario) == (b"", "UNAVAILABLE")


def test_more_connections_than_allowed_are_closed_and_the_others_served(services, monkeypatch):
    monkeypatch.setattr(otlp_grpc, "CONNECTIONS_MAX", 3)

    async def scenario(client):
        assert await client.export() == b""  # the first connection
        ends = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(4)]
        for _, writer in ends:
            writer.write(PREFACE)
        greeted = await asyncio.gather(*[asyncio.wait_for(reader.read(9), 10) for reader, _ in ends])
        for _, writer in ends:
            writer.close()
        assert await client.export(traces(bytes([7] * 16))) == b""
        return sum(bool(answer) for answer in greeted)

    assert over_grpc(services, scenario) == 2


@pytest.mark.parametrize(
    "method",
    ["/opentelemetry.proto.collector.trace.v1.TraceService/Delete", "/grpc.health.v1.Health/Check", "/x/y", "/"],
)
def test_unknown_methods_are_unimplemented(services, method):
    async def scenario(client):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.channel.unary_unary(method)(b"", timeout=20)
        return caught.value.code().name

    assert over_grpc(services, scenario) == "UNIMPLEMENTED"


def test_huge_metadata_is_refused(services):
    async def scenario(client):
        error = await client.refusal(metadata=(("x-api-key", "k" * 100_000),))
        return error.code().name, await client.export()

    assert over_grpc(services, scenario) == ("RESOURCE_EXHAUSTED", b"")


def test_the_usual_port_may_be_taken_and_a_worker_has_none(services, monkeypatch, caplog):
    async def bound(settings):
        app = FastAPI()
        app.state.services = services
        app.state.intake = Intake(services)
        return serving._grpc_door(app, settings)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(serving, "GRPC_PORT", taken.getsockname()[1])
        with caplog.at_level("INFO"):
            assert asyncio.run(bound(Settings())) is None
    assert "is taken; gRPC (OTLP, KEDA's external scaler) is not served" in caplog.text
    assert asyncio.run(bound(Settings(role="worker"))) is None
    assert asyncio.run(bound(Settings(grpc_port=0))) is None


# --- a service of its own --------------------------------------------------------------------------------------------


def export(port, content=TRACES, **options):
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED) as channel:
        return channel.unary_unary(EXPORT["traces"])(content, timeout=30, **options)


def refusal(port, content=TRACES, **options):
    with pytest.raises(grpc.RpcError) as caught:
        export(port, content, **options)
    return caught.value.code().name


def memory_mb(service):
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def test_bombs_garbage_and_crowds_leave_the_service_in_good_health(tmp_path):
    port = free_port()
    limit = {"SEAMARK_MAX_BODY_BYTES": "8000000"}
    with ServiceProcess(tmp_path / "data", "--grpc-port", str(port), environment=limit) as service:
        assert export(port) == b""
        before_mb = memory_mb(service)
        bomb = b"\0" * 100_000_000
        assert refusal(port, bomb, compression=GZIP) == "RESOURCE_EXHAUSTED"
        assert refusal(port, bomb) == "RESOURCE_EXHAUSTED"
        greetings = (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64)
        with contextlib.ExitStack() as stack:
            for index in range(200):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                sock.sendall(greetings[index % 3])
            assert export(port) == b""
        assert memory_mb(service) - before_mb < 50
        assert service.get("/readyz")["ready"] is True


def test_a_call_under_way_at_sigterm_is_answered_and_stored(tmp_path):
    port = free_port()
    sent = threading.Event()
    outcomes = []

    def send(channel):
        call = channel.unary_unary(EXPORT["traces"])
        for number in range(1, 100_000):
            try:
                call(traces(number.to_bytes(16, "big"), start_ns=time.time_ns()), timeout=30)
            except grpc.RpcError as error:
                outcomes.append(error.code().name)
                return
            outcomes.append("OK")
            sent.set()

    with ServiceProcess(tmp_path / "data", "--grpc-port", str(port)) as service:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            sender = threading.Thread(target=send, args=(channel,))
            sender.start()
            assert sent.wait(30)
            assert service.stop(signal.SIGTERM) == 0
            sender.join()
        assert outcomes[-1] in ("UNAVAILABLE", "CANCELLED")  # a sender repeats both
        assert "Traceback" not in service.log
    with ServiceProcess(tmp_path / "data", "--grpc-port", str(port)) as service:
        (model,) = service.get("/api/v1/models")
        assert sum(version["requests"] for version in model["versions"]) >= outcomes.count("OK")


def test_keys_hold_over_grpc_too(tmp_path):
    data, port = str(tmp_path / "data"), free_port()
    keys = {
        scope: run_cli("keys", "create", "--scope", scope, "--local", "--data-dir", data).stdout.strip()
        for scope in ("ingest", "read")
    }
    with ServiceProcess(tmp_path / "data", "--grpc-port", str(port)):
        assert refusal(port) == "UNAUTHENTICATED"
        assert refusal(port, metadata=(("authorization", "Bearer smk_wrong"),)) == "UNAUTHENTICATED"
        assert refusal(port, metadata=(("authorization", f"Bearer {keys['read']}"),)) == "PERMISSION_DENIED"
        assert export(port, metadata=(("authorization", f"Bearer {keys['ingest']}"),)) == b""


def test_a_taken_grpc_port_is_an_error_only_where_it_was_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = ["--port", "0", "--otlp-port", "0", "--data-dir", str(tmp_path / "a"), "--grpc-port", port]
        refused = run_cli("serve", *flags)
        assert refused.returncode == 2
        assert port in refused.stderr
        assert "Traceback" not in refused.stderr
