"""The ingest doors over HTTP: what is answered, when, and what is stored by then."""

import asyncio
import contextlib
import gzip
import json

import httpx
import pytest
from fastapi import FastAPI
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from tests.memory_services import (
    AT,
    GOOD,
    JSON,
    PROTOBUF,
    TRACES,
    TRACES_JSON,
    counted,
    memory_services,
    prediction_log,
    traces,
)

from seamark.core.errors import BufferFull, StoreUnavailable
from seamark.web import problems
from seamark.web.auth import Principal, gate_of
from seamark.web.ingest import router
from seamark.web.intake import Intake


@pytest.fixture
def services():
    return memory_services()


@contextlib.asynccontextmanager
async def client_of(services):
    app = FastAPI()
    app.state.services = services
    app.state.intake = Intake(services)
    app.include_router(router())
    problems.install(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        client.app = app
        yield client


def over_http(services, scenario):
    async def run():
        async with client_of(services) as client:
            return await scenario(client)

    return asyncio.run(run())


def post(services, path, content, content_type=PROTOBUF, **headers):
    named = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return over_http(services, lambda client: client.post(path, content=content, headers=named))


@pytest.mark.parametrize(
    "content, content_type, expected",
    [
        (TRACES, PROTOBUF, b""),
        (TRACES, "application/X-Protobuf; charset=utf-8", b""),
        (TRACES_JSON, JSON, b"{}"),
        (TRACES_JSON, "application/json; charset=UTF-8", b"{}"),
    ],
    ids=["protobuf", "protobuf-with-parameters", "json", "json-with-parameters"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_spans_are_stored_before_they_are_acknowledged(services, content, content_type, expected, packed):
    headers = {"content_encoding": "gzip"} if packed else {}
    answer = post(services, "/v1/traces", gzip.compress(content) if packed else content, content_type, **headers)
    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["content-type"] == content_type.split(";")[0].lower()
    (row,) = services.buffer.rows("spans")
    assert (row["trace_id"], row["received_at"]) == (GOOD, AT)
    assert counted(services, "traces") == (1, 0)


def test_the_answer_waits_for_the_commit(services):
    async def scenario(client):
        services.buffer.gate.clear()
        task = asyncio.create_task(client.post("/v1/traces", content=TRACES, headers={"content-type": PROTOBUF}))
        deadline = asyncio.get_running_loop().time() + 5
        while not services.buffer.calls and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
        assert services.buffer.calls == 1
        assert not task.done()
        services.buffer.gate.set()
        return await task

    assert over_http(services, scenario).status_code == 200


def test_partial_success_counts_and_names_the_refused(services):
    answer = post(services, "/v1/traces", traces(GOOD, b"\x01", bytes(16)))
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert told.rejected_spans == 2
    assert "1: trace id has 1 bytes" in told.error_message
    assert counted(services, "traces") == (1, 2)


def test_nothing_to_store_is_a_success_without_a_commit(services):
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
        assert post(services, path, b"").status_code == 200
        assert post(services, path, b"{}", JSON).json() == {}
    assert post(services, "/v1/traces", traces(b"\x01")).status_code == 200
    assert services.buffer.calls == 0


def test_logs_become_predictions_whose_schema_the_catalog_knows_first(services):
    services.buffer.fault = StoreUnavailable("the disk is full")
    assert post(services, "/v1/logs", prediction_log()).status_code == 503
    assert len(services.catalog.schemas) == 1

    async def scenario(client):
        services.buffer.fault = None
        for prediction_id in ("p-1", "p-2"):
            content = prediction_log(prediction_id)
            answer = await client.post("/v1/logs", content=content, headers={"content-type": PROTOBUF})
            assert not ExportLogsServiceResponse.FromString(answer.content).HasField("partial_success")

    services.catalog.schemas.clear()
    over_http(services, scenario)
    assert [row["numeric"] for row in services.buffer.rows("predictions")] == [[4.0], [4.0]]
    ((model, schema),) = services.catalog.schemas[0]
    assert (model, schema.numeric, len(services.catalog.schemas)) == ("unknown_service", ("age",), 1)
    assert counted(services, "logs") == (2, 0)


def test_metric_points_are_stored_and_bad_ones_refused_alone(services):
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    points = metrics.add(name="queue").gauge.data_points
    points.add(as_int=1, time_unix_nano=1_767_225_600_000_000_000)
    points.add(as_int=2)
    answer = post(services, "/v1/metrics", message.SerializeToString())
    told = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_data_points) == (200, 1)
    assert told.error_message == "1 of 2 data points refused: 1: time is not set"
    assert [(row["name"], row["value"]) for row in services.buffer.rows("metric_points")] == [("queue", 1.0)]
    assert counted(services, "metrics") == (1, 1)


@pytest.mark.parametrize(
    "content, headers, status, sentence",
    [
        (b"\xff\xff", {}, 400, "no ExportTraceServiceRequest in protobuf"),
        (b"abc", {"content_encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(TRACES)[:-3], {"content_encoding": "gzip"}, 400, "cut short"),
        (TRACES, {"content_encoding": "zstd"}, 400, "'zstd' is not read here"),
        (b"a" * 1_000_001, {}, 413, "larger than 1,000,000 bytes"),
        (gzip.compress(b"\0" * 1_000_001), {"content_encoding": "gzip"}, 413, "larger than 1,000,000 bytes"),
    ],
    ids=["malformed", "no-gzip", "cut-gzip", "encoding", "large", "bomb"],
)
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_errors_are_a_status_in_the_requests_encoding(services, content, headers, status, sentence, content_type):
    if content_type == JSON and sentence.startswith("no Export"):
        sentence = "no TracesRequest in OTLP's JSON"
    answer = post(services, "/v1/traces", content, content_type, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    message = answer.json()["message"] if content_type == JSON else Status.FromString(answer.content).message
    assert sentence in message
    assert services.buffer.calls == 0


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/grpc"])
def test_a_wrong_content_type_is_400_and_named(services, content_type):
    answer = post(services, "/v1/traces", TRACES, content_type)
    assert answer.status_code == 400
    assert "send application/x-protobuf or application/json" in answer.json()["message"]


@pytest.mark.parametrize("fault", [BufferFull("too much waits"), StoreUnavailable("no disk"), RuntimeError("surprise")])
def test_what_cannot_be_stored_now_is_503_with_retry_after_and_is_not_remembered(services, fault):
    async def scenario(client):
        services.buffer.fault = fault
        first = await client.post("/v1/traces", content=TRACES, headers={"content-type": PROTOBUF})
        services.buffer.fault = None
        second = await client.post("/v1/traces", content=TRACES, headers={"content-type": PROTOBUF})
        return first, second

    first, second = over_http(services, scenario)
    assert first.status_code == 503
    assert int(first.headers["retry-after"]) >= 1
    assert Status.FromString(first.content).code == 14
    assert second.status_code == 200
    assert len(services.buffer.rows("spans")) == 1
    assert counted(services, "traces") == (1, 0)


def test_a_catalog_that_is_away_is_503_and_its_schemas_are_tried_again(services):
    async def scenario(client):
        services.catalog.fault = StoreUnavailable("locked")
        headers = {"content-type": PROTOBUF}
        first = await client.post("/v1/logs", content=prediction_log(), headers=headers)
        services.catalog.fault = None
        return first, await client.post("/v1/logs", content=prediction_log(), headers=headers)

    first, second = over_http(services, scenario)
    assert (first.status_code, second.status_code) == (503, 200)
    assert len(services.catalog.schemas) == 1


def test_the_same_body_again_is_answered_the_same_and_stored_once(services):
    async def scenario(client):
        body = traces(GOOD, b"\x01")
        answers = []
        for content, headers in ((body, {}), (gzip.compress(body), {"content-encoding": "gzip"}), (body, {})):
            answers.append(
                await client.post("/v1/traces", content=content, headers={"content-type": PROTOBUF} | headers)
            )
        services.clock.advance(3_600)
        answers.append(await client.post("/v1/traces", content=body, headers={"content-type": PROTOBUF}))
        return answers

    answers = over_http(services, scenario)
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert b"trace id has 1 bytes" in answers[0].content
    assert len(services.buffer.rows("spans")) == 2  # once, and once more after an hour
    assert counted(services, "traces") == (2, 2)


def test_the_same_body_at_the_same_time_is_stored_once(services):
    async def scenario(client):
        services.buffer.gate.clear()
        sent = [client.post("/v1/traces", content=TRACES, headers={"content-type": PROTOBUF}) for _ in range(8)]
        tasks = [asyncio.create_task(request) for request in sent]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        services.buffer.gate.set()
        return await asyncio.gather(*tasks)

    assert {answer.status_code for answer in over_http(services, scenario)} == {200}
    assert services.buffer.calls == 1


def test_a_large_body_is_stored_too(services):
    services.max_body_bytes = 20_000_000
    body = traces(*[i.to_bytes(16, "big") for i in range(1, 5_001)])
    assert len(body) > 65_536
    answer = post(services, "/v1/traces", gzip.compress(body), content_encoding="gzip")
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(services.buffer.rows("spans")) == 5_000


def test_without_a_key_otlp_is_told_by_a_status_and_rest_by_a_problem(services):
    services.open_access = False
    answer = post(services, "/v1/traces", TRACES)
    assert (answer.status_code, answer.headers["content-type"]) == (401, PROTOBUF)
    assert Status.FromString(answer.content).code == 16
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert post(services, "/api/v1/predictions", b"[]", JSON).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path, content",
    [("/v1/traces", TRACES), ("/api/v1/predictions", b'{"model": "churn"}')],
    ids=["traces", "predictions"],
)
@pytest.mark.parametrize("model, status", [("churn", 200), ("other", 403)])
def test_a_key_of_one_model_brings_no_rows_of_another(services, path, content, model, status):
    async def scenario(client):
        gate_of(client.app).principal = lambda plain, needed: Principal("ingest", "k", model)
        kind = PROTOBUF if path == "/v1/traces" else JSON
        return await client.post(path, content=content, headers={"content-type": kind})

    assert over_http(services, scenario).status_code == status
    assert services.buffer.calls == (status == 200)


def test_predictions_answer_with_ids_and_reasons_after_the_commit(services):
    records = [
        {"model": "churn", "features": {"age": 41}, "prediction": 1},
        {"features": {}},
        {"model": "churn", "prediction_id": "mine"},
    ]
    answer = post(services, "/api/v1/predictions", json.dumps(records).encode(), JSON)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected_total"]) == (200, 2, 1)
    assert told["rejected"] == [{"index": 1, "error": "model: None is no name; write a string that is not empty"}]
    assert told["ids"] == [row["prediction_id"] for row in services.buffer.rows("predictions")]
    assert (len(told["ids"][0]), told["ids"][1]) == (32, "mine")
    assert counted(services, "predictions") == (2, 1)


def test_labels_are_stored_and_all_rejected_is_still_an_answer(services):
    body = b'{"model": "churn", "prediction_id": "mine", "label": true}\n{}\n'
    told = post(services, "/api/v1/labels", body, "application/x-ndjson").json()
    assert (told["accepted"], told["ids"], told["rejected"][0]["index"]) == (1, ["mine"], 1)
    assert services.buffer.rows("labels")[0]["label_number"] == 1.0
    none = post(services, "/api/v1/labels", b"[{}]", JSON)
    assert (none.status_code, none.json()["accepted"]) == (200, 0)


def test_rejections_beyond_a_thousand_are_counted_not_listed(services):
    told = post(services, "/api/v1/predictions", json.dumps([{}] * 1_500).encode(), JSON).json()
    assert (len(told["rejected"]), told["rejected_total"], told["accepted"]) == (1_000, 1_500, 0)


@pytest.mark.parametrize(
    "content, content_type, headers, status",
    [
        (b"{", JSON, {}, 400),
        (b"\xff", JSON, {}, 400),
        (b"[" * 50_000, JSON, {}, 400),
        (b"junk", "application/vnd.apache.arrow.stream", {}, 400),
        (b"x", "text/csv", {}, 415),
        (b"[]", JSON, {"content_encoding": "br"}, 415),
        (b" " * 1_000_001, JSON, {}, 413),
    ],
)
def test_rest_errors_are_problems(services, content, content_type, headers, status):
    answer = post(services, "/api/v1/predictions", content, content_type, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["detail"]


def test_rest_is_told_to_come_again_too(services):
    services.buffer.fault = BufferFull("too much waits")
    answer = post(services, "/api/v1/predictions", b'{"model": "m"}', JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_openapi_tells_what_each_door_takes(services):
    async def scenario(client):
        return (await client.get("/openapi.json")).json()

    paths = over_http(services, scenario)["paths"]
    assert set(paths["/v1/traces"]["post"]["requestBody"]["content"]) == {PROTOBUF, JSON}
    assert "application/vnd.apache.arrow.stream" in paths["/api/v1/labels"]["post"]["requestBody"]["content"]
