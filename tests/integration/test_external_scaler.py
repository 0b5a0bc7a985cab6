"""KEDA's external scaler: what a client made from its published messages is answered, and what it is never told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import yaml
from fastapi import FastAPI
from tests.memory_services import memory_services
from tests.scaler_client import Stub, code

from seamark.app import known_names
from seamark.core import keys
from seamark.core.advice import Recommendation
from seamark.core.clock import ManualClock
from seamark.engine.configuration import Configuration
from seamark.engine.services import Services
from seamark.store.catalog import Catalog
from seamark.store.catalog.database import Database
from seamark.store.catalog.keys import KeyRecord
from seamark.web import external_scaler
from seamark.web.intake import Intake
from seamark.web.otlp_grpc import GrpcDoor

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADVICE = Recommendation("churn", AT, "ok", 7, 5, 1, 20, "because", 60.0, 390.0, None, None)
CONFIG = yaml.safe_dump({"models": [{"name": name, "autoscale": {"max": 20}} for name in ("churn", "org/fraud")]})


@dataclass
class Running:
    stub: Stub
    channel: grpc.aio.Channel
    stopping: asyncio.Event


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with the configuration in force, to be copied: upgrading takes a tenth of a second and more."""
    path = tmp_path_factory.mktemp("scaler") / "configured.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    Configuration(Catalog(database), known_names()).apply(CONFIG, AT)
    database.close()
    return path


@pytest.fixture
def services(tmp_path: Path, configured: Path) -> Iterator[Services]:
    database = Database(f"sqlite:///{shutil.copy(configured, tmp_path / 'catalog.db')}")
    catalog, made = Catalog(database), memory_services()
    made.clock = ManualClock(AT)
    made.catalog, made.configuration = catalog, Configuration(catalog, known_names())
    yield cast("Services", made)
    database.close()


def advise(services: Services, at: datetime = AT, **fields: Any) -> None:
    services.catalog.findings.put("churn", "recommendation", at, replace(ADVICE, at=at, **fields))


def over_grpc(services: Services, scenario: Callable[[Running], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        app = FastAPI()
        app.state.services = services
        app.state.intake = Intake(services)
        door = GrpcDoor(app, grace_s=5.0)
        port = door.bind("127.0.0.1", 0)
        stopping = asyncio.Event()
        async with door.serving(stopping), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return await scenario(Running(Stub(channel), channel, stopping))

    return asyncio.run(run())


def test_a_poll_of_keda_gets_spec_number_and_activity(services: Services) -> None:
    advise(services)

    async def scenario(running: Running) -> Any:
        stub = running.stub
        ref = stub.ref(scalerAddress="seamark:4317", model="churn")
        [spec] = (await stub.GetMetricSpec(ref, timeout=20)).metricSpecs
        return spec, await stub.value(ref, spec.metricName), await stub.IsActive(ref, timeout=20)

    spec, value, active = over_grpc(services, scenario)
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == ("seamark_recommended_replicas", 1, 1.0)
    assert (value.metricName, value.metricValue, value.metricValueFloat) == (spec.metricName, 7, 7.0)
    assert active.result is True


def test_a_metric_bears_the_name_the_trigger_gives_it_and_no_other(services: Services) -> None:
    advise(services)

    async def scenario(running: Running) -> Any:
        stub = running.stub
        ref = stub.ref(model="churn", metricName="churn-replicas")
        [spec] = (await stub.GetMetricSpec(ref, timeout=20)).metricSpecs
        value = await stub.value(ref, "churn-replicas")
        wrong = stub.ref(model="churn", metricName="a b/c")
        return spec, value, await code(stub.value(ref, "other")), await code(stub.GetMetricSpec(wrong, timeout=20))

    spec, value, other, wrong = over_grpc(services, scenario)
    assert (spec.metricName, value.metricName, value.metricValue) == ("churn-replicas", "churn-replicas", 7)
    assert (other, wrong) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "fields, passed_s, found",
    [
        ({"state": "hold", "replicas": None, "current": None}, 0, "UNAVAILABLE"),
        ({}, 181, "UNAVAILABLE"),
        (None, 0, "FAILED_PRECONDITION"),
    ],
    ids=["hold without a number", "stale", "none yet"],
)
def test_what_is_not_known_is_an_error_and_never_zero(
    services: Services, fields: dict[str, Any] | None, passed_s: float, found: str
) -> None:
    if fields is not None:
        advise(services, **fields)
    services.clock.advance(passed_s)  # type: ignore[attr-defined]

    async def scenario(running: Running) -> Any:
        ref = running.stub.ref(model="churn")
        # The spec is told all the same: without one KEDA has no metric to fall back from.
        return await running.stub.all_of(ref), (await running.stub.GetMetricSpec(ref, timeout=20)).metricSpecs

    codes, specs = over_grpc(services, scenario)
    assert codes == {found} and len(specs) == 1


def test_a_hold_that_knows_what_runs_says_that(services: Services) -> None:
    advise(services, state="hold", replicas=5)
    value = over_grpc(services, lambda running: running.stub.value(running.stub.ref(model="churn")))
    assert value.metricValue == 5


@pytest.mark.parametrize(
    "metadata, found",
    [
        ({"model": "nobody"}, "FAILED_PRECONDITION"),
        ({"model": "org/fraud\x00'--"}, "FAILED_PRECONDITION"),
        ({}, "INVALID_ARGUMENT"),
        ({"model": "churn", "metricName": "x" * 64}, "INVALID_ARGUMENT"),
        ({"model": "churn", "much": "x" * 20_000}, "RESOURCE_EXHAUSTED"),
    ],
    ids=["unknown", "hostile", "none named", "long metric", "too much"],
)
def test_a_wrong_trigger_is_told_so(services: Services, metadata: dict[str, str], found: str) -> None:
    advise(services)

    async def scenario(running: Running) -> Any:
        ref = running.stub.ref(**metadata)
        return await running.stub.all_of(ref), await code(running.stub.GetMetricSpec(ref, timeout=20))

    codes, spec = over_grpc(services, scenario)
    assert codes == {found} and spec == found


def test_bytes_that_are_no_such_message_and_calls_without_one_are_refused(services: Services) -> None:
    async def scenario(running: Running) -> Any:
        path = f"/{external_scaler.SERVICE}/GetMetrics"
        junk = [b"\xff\xff", b"\x1f\x8bjunk", b"\x0a\xff\xff\xff\xff\x0f"]
        found = [await code(running.channel.unary_unary(path)(body, timeout=20)) for body in junk]
        empty = await code(running.channel.stream_unary(path)(iter([]), timeout=20))
        return found, empty, await code(running.stub.StreamMetricSpec(running.stub.ref(model="churn")).read())

    found, empty, spec_stream = over_grpc(services, scenario)
    assert set(found) == {"INVALID_ARGUMENT"} and empty == "INVALID_ARGUMENT"
    assert spec_stream == "UNIMPLEMENTED"  # KEDA then asks GetMetricSpec


def key(services: Services, scope: str, model: str | None = None) -> str:
    made = keys.new_key(scope, os.urandom(keys.RANDOM_BYTES))
    services.catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, AT, None))
    return made.plain


def test_keys_are_asked_for_and_may_come_in_the_triggers_metadata(services: Services) -> None:
    advise(services)
    read, ingest, other = key(services, "read"), key(services, "ingest"), key(services, "read", "org/fraud")

    async def scenario(running: Running) -> Any:
        stub = running.stub
        ref = stub.ref(model="churn")
        good = [
            await stub.value(ref, metadata=(("authorization", f"Bearer {read}"),)),
            await stub.value(stub.ref(model="churn", tokenFromEnv=read)),
            await stub.value(stub.ref(model="churn", token=read)),
        ]
        refused = [
            await stub.all_of(ref),
            await stub.all_of(ref, metadata=(("authorization", "Bearer smk_0123456789_x"),)),
            await stub.all_of(stub.ref(model="churn", token=ingest)),
            await stub.all_of(stub.ref(model="churn", token=other)),
            {await code(stub.GetMetricSpec(ref, timeout=20))},
        ]
        return [value.metricValue for value in good], refused

    good, refused = over_grpc(services, scenario)
    assert good == [7, 7, 7]
    assert refused == [
        {"UNAUTHENTICATED"},
        {"UNAUTHENTICATED"},
        {"PERMISSION_DENIED"},
        {"PERMISSION_DENIED"},
        {"UNAUTHENTICATED"},
    ]


def test_a_bad_key_in_the_calls_metadata_does_not_get_a_message_read(services: Services) -> None:
    key(services, "read")

    async def scenario(running: Running) -> Any:
        call = running.channel.stream_unary(f"/{external_scaler.SERVICE}/IsActive")
        return await code(call(metadata=(("x-api-key", "smk_bad"),)))  # nothing was sent, and the answer is there

    assert over_grpc(services, scenario) == "UNAUTHENTICATED"


def test_a_stream_speaks_at_once_again_and_ends_when_nothing_is_known(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_scaler, "LOOK_S", 0.01)
    advise(services)

    async def scenario(running: Running) -> Any:
        stream = running.stub.StreamIsActive(running.stub.ref(model="churn"), timeout=20)
        first = await stream.read()
        second = asyncio.ensure_future(stream.read())
        quiet, _ = await asyncio.wait([second], timeout=0.1)
        services.clock.advance(external_scaler.REPEAT_S)  # type: ignore[attr-defined]
        again = await second
        services.clock.advance(200)  # type: ignore[attr-defined]
        return first.result, quiet, again.result, await code(stream.read())

    assert over_grpc(services, scenario) == (True, set(), True, "UNAVAILABLE")


async def freed(running: Running, ref: Any) -> Any:
    """A stream that was let in, once the place of one that left is given back."""
    for _ in range(1_000):
        stream = running.stub.StreamIsActive(ref, timeout=20)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.read()
            return stream
    raise AssertionError("a stream that ended keeps its place")


def test_streams_are_bounded_and_given_back_and_end_with_the_service(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_scaler, "STREAMS_MAX", 2)
    monkeypatch.setattr(external_scaler, "LOOK_S", 0.01)
    advise(services)

    async def scenario(running: Running) -> Any:
        ref = running.stub.ref(model="churn")
        streams = [running.stub.StreamIsActive(ref, timeout=20) for _ in range(2)]
        assert [(await stream.read()).result for stream in streams] == [True, True]
        refused = await code(running.stub.StreamIsActive(ref, timeout=20).read())
        polled = await running.stub.value(ref)
        streams[0].cancel()
        late = await freed(running, ref)
        running.stopping.set()
        return refused, polled.metricValue, await code(late.read())

    assert over_grpc(services, scenario) == ("UNAVAILABLE", 7, "UNAVAILABLE")


def test_at_is_the_newest_advice(services: Services) -> None:
    advise(services)
    advise(services, datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC), replicas=9)
    value = over_grpc(services, lambda running: running.stub.value(running.stub.ref(model="churn")))
    assert value.metricValue == 9
