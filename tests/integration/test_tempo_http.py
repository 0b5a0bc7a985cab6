"""What Grafana's Tempo data source asks, over real HTTP, of traces that came in as OTLP."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status, TracesData

from seamark.app import create_app, open_services
from seamark.core.clock import ManualClock
from seamark.core.keys import RANDOM_BYTES, new_key
from seamark.engine.services import Services
from seamark.settings import Settings
from seamark.store import traces
from seamark.store.catalog.keys import KeyRecord

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
START_NS = int((AT - timedelta(minutes=5)).timestamp()) * 10**9
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SHORT = bytes.fromhex("0000000000000000b7ad6b7169203331")
PROTOBUF = "application/protobuf"
NEAR = {"start": str(START_NS // 10**9 - 60), "end": str(START_NS // 10**9 + 60)}


def pairs(**values: AnyValue) -> list[KeyValue]:
    return [KeyValue(key=key.replace("__", "."), value=value) for key, value in values.items()]


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def sent() -> ExportTraceServiceRequest:
    """A trace over two services with everything a span may carry, and one with an id of 16 digits."""
    request = ExportTraceServiceRequest()
    front = request.resource_spans.add()
    front.resource.attributes.extend(pairs(service__name=text("front"), zone=text("eu/west.1")))
    scope = front.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.fastapi"
    scope.spans.add(
        trace_id=TRACE,
        span_id=b"\1" * 8,
        name="POST /buy",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=START_NS,
        end_time_unix_nano=START_NS + 120_000_500,
        attributes=pairs(
            **{"app/route.name": text("/buy")},
            text=text("a b"),
            count=AnyValue(int_value=3),
            ratio=AnyValue(double_value=0.5),
            flag=AnyValue(bool_value=True),
            listed=AnyValue(array_value=ArrayValue(values=[text("x"), AnyValue(int_value=1)])),
            nested=AnyValue(kvlist_value=KeyValueList(values=pairs(k=text("v")))),
        ),
        events=[Span.Event(name="exception", time_unix_nano=START_NS + 1_000_000, attributes=pairs(kind=text("E")))],
        links=[Span.Link(trace_id=b"\7" * 16, span_id=b"\6" * 8, attributes=pairs(why=text("retry")))],
        status=Status(code=Status.STATUS_CODE_ERROR, message="card refused"),
    )
    back = request.resource_spans.add()
    back.resource.attributes.extend(pairs(service__name=text("back")))
    back.scope_spans.add().spans.add(
        trace_id=TRACE,
        span_id=b"\2" * 8,
        parent_span_id=b"\1" * 8,
        name="SELECT",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=START_NS + 2_000_000,
        end_time_unix_nano=START_NS + 50_000_000,
    )
    request.resource_spans[0].scope_spans[0].spans.add(
        trace_id=SHORT,
        span_id=b"\3" * 8,
        name="GET /",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=START_NS - 10**9,
        end_time_unix_nano=START_NS - 10**9 + 1000,
        attributes=pairs(seamark__model__name=text("other")),
    )
    return request


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder: Path = tmp_path_factory.mktemp("tempo")
    with open_services(Settings(data_dir=folder), ManualClock(AT)) as opened:
        yield opened


@pytest.fixture(scope="module")
def tempo(services: Services) -> Iterator[httpx.Client]:
    """A client of /tempo on a loopback port; the trace was sent twice, as a sender does that heard no answer."""
    server = uvicorn.Server(uvicorn.Config(create_app(services, role="web"), log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=20.0) as opened:
            headers = {"Content-Type": "application/x-protobuf"}
            request = sent()
            assert opened.post("/v1/traces", content=request.SerializeToString(), headers=headers).is_success
            del request.resource_spans[0].scope_spans[0].spans[1]
            assert opened.post("/v1/traces", content=request.SerializeToString(), headers=headers).is_success
        with httpx.Client(base_url=f"{url}/tempo", trust_env=False, timeout=20.0) as opened:
            yield opened
        server.should_exit = True
        thread.join()


def answer_class() -> Any:
    """Tempo's TraceByIDResponse, put together from its published field numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="answer.proto", package="seamark.test", syntax="proto3")
    file.dependency.append(trace_pb2.DESCRIPTOR.name)
    file.message_type.add(name="Metrics")
    made = file.message_type.add(name="TraceByIDResponse")
    message, number, string = 11, 5, 9
    made.field.add(name="trace", number=1, type=message, type_name=".opentelemetry.proto.trace.v1.TracesData", label=1)
    made.field.add(name="metrics", number=2, type=message, type_name=".seamark.test.Metrics", label=1)
    made.field.add(name="status", number=3, type=number, label=1)
    made.field.add(name="message", number=4, type=string, label=1)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("seamark.test.TraceByIDResponse"))


def by_service(data: TracesData) -> dict[str, ResourceSpans]:
    return {
        next(pair.value.string_value for pair in group.resource.attributes if pair.key == "service.name"): group
        for group in data.resource_spans
    }


def test_a_data_source_can_be_saved_and_tested(tempo: httpx.Client) -> None:
    answer = tempo.get("/api/echo")
    assert (answer.status_code, answer.text) == (200, "echo")
    assert set(tempo.get("/api/status/buildinfo").json()) >= {"version", "revision", "branch", "goVersion"}


def test_a_trace_comes_back_as_it_was_sent(tempo: httpx.Client) -> None:
    answer = tempo.get(f"/api/traces/{TRACE.hex()}", headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    told, original = by_service(TracesData.FromString(answer.content)), sent()
    del original.resource_spans[0].scope_spans[0].spans[1]
    expected = by_service(TracesData(resource_spans=original.resource_spans))
    assert set(told) == {"front", "back"}
    for service, group in told.items():
        assert list(group.resource.attributes) == list(expected[service].resource.attributes)
        assert group.scope_spans[0].scope.name == expected[service].scope_spans[0].scope.name
        assert list(group.scope_spans[0].spans) == list(expected[service].scope_spans[0].spans)


@pytest.mark.parametrize("window", [{}, NEAR, {"start": "0", "end": "0"}])
def test_the_second_api_answers_with_the_trace_and_whether_it_is_whole(
    tempo: httpx.Client, window: dict[str, str]
) -> None:
    answer = tempo.get(f"/api/v2/traces/{TRACE.hex()}", params=window, headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    told = answer_class().FromString(answer.content)
    assert set(by_service(told.trace)) == {"front", "back"}
    assert (told.status, told.message) == (0, "")


def test_a_trace_that_is_too_large_is_told_in_part(tempo: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TRACE_SPANS_MAX", 1)
    monkeypatch.setattr(traces, "_FEW", 1)
    path = f"/api/v2/traces/{TRACE.hex()}"
    told = answer_class().FromString(tempo.get(path, headers={"Accept": PROTOBUF}).content)
    assert [len(group.scope_spans[0].spans) for group in told.trace.resource_spans] == [1]
    assert (told.status, told.message) == (1, "this trace has 2 spans; the first 1 are shown")
    body = tempo.get(path).json()
    assert (body["status"], body["message"]) == ("PARTIAL", told.message)


def test_json_is_written_as_tempo_writes_it(tempo: httpx.Client) -> None:
    first = tempo.get(f"/api/traces/{TRACE.hex()}").json()["batches"]
    second = tempo.get(f"/api/v2/traces/{TRACE.hex()}").json()["trace"]["resourceSpans"]
    assert first == second
    span = first[0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == base64.b64encode(TRACE).decode()
    assert (span["kind"], span["status"]) == (
        "SPAN_KIND_SERVER",
        {"code": "STATUS_CODE_ERROR", "message": "card refused"},
    )
    assert span["startTimeUnixNano"] == str(START_NS)


@pytest.mark.parametrize("trace_id", [SHORT.hex(), SHORT.hex()[16:], SHORT.hex()[16:].upper()])
def test_short_ids_are_padded_in_front(tempo: httpx.Client, trace_id: str) -> None:
    assert tempo.get(f"/api/traces/{trace_id}").status_code == 200


@pytest.mark.parametrize("version", ["", "/v2"])
@pytest.mark.parametrize(("trace_id", "status"), [("f" * 32, 404), ("0", 404), ("xyz", 400), ("f" * 33, 400)])
def test_unknown_and_impossible_traces_are_refused(
    tempo: httpx.Client, version: str, trace_id: str, status: int
) -> None:
    answer = tempo.get(f"/api{version}/traces/{trace_id}", headers={"Accept": PROTOBUF})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_search_tells_traces_with_the_spans_that_match(tempo: httpx.Client) -> None:
    query = '{ resource.service.name="front" && span.count=3 && status=error && kind=server && duration>10ms }'
    found = tempo.get("/api/search", params={"q": query, "limit": 20, "spss": 3, **NEAR}).json()
    span_set = {
        "spans": [
            {
                "spanID": "01" * 8,
                "name": "POST /buy",
                "startTimeUnixNano": str(START_NS),
                "durationNanos": "120000500",
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "front"}},
                    {"key": "count", "value": {"intValue": "3"}},
                    {"key": "status", "value": {"stringValue": "error"}},
                    {"key": "kind", "value": {"stringValue": "server"}},
                ],
            }
        ],
        "matched": 1,
    }
    assert found["traces"] == [
        {
            "traceID": TRACE.hex(),
            "rootServiceName": "front",
            "rootTraceName": "POST /buy",
            "startTimeUnixNano": str(START_NS),
            "durationMs": 120,
            "spanSet": span_set,
            "spanSets": [span_set],
            "serviceStats": {"front": {"spanCount": 1, "errorCount": 1}, "back": {"spanCount": 1}},
        }
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [TRACE, SHORT]),
        ({"q": "{}"}, [TRACE, SHORT]),
        ({"limit": 1}, [TRACE]),
        ({"tags": "service.name=back"}, [TRACE]),
        ({"tags": 'text="a b" count=3 flag=true status=error'}, [TRACE]),
        ({"tags": "text=a"}, []),
        ({"minDuration": "100ms"}, [TRACE]),
        ({"maxDuration": "100ms"}, [SHORT]),
        ({"q": '{ rootName = "GET /" }'}, [SHORT]),
        ({"q": "{ statusMessage = `card refused` }"}, [TRACE]),
        ({"start": "1000000000", "end": "1000000100"}, []),
    ],
)
def test_a_search_is_narrowed(tempo: httpx.Client, parameters: dict[str, str], expected: list[bytes]) -> None:
    found = tempo.get("/api/search", params=parameters).json()["traces"]
    assert [one["traceID"] for one in found] == [trace_id.hex() for trace_id in expected]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"q": "{ a } | rate()"}, "character 3"),
        ({"q": "{} | rate()"}, "pipelines"),
        ({"q": '{ name =~ "(" }'}, "regular expression"),
        ({"tags": "nonsense"}, "service.name=api"),
        ({"minDuration": "long"}, "minDuration"),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_a_search_that_cannot_be_read_is_refused_in_words(
    tempo: httpx.Client, parameters: dict[str, str], words: str
) -> None:
    answer = tempo.get("/api/search", params=parameters)
    assert answer.status_code == 400
    assert words in answer.text


def test_tags_are_told_by_scope(tempo: httpx.Client) -> None:
    scopes = {one["name"]: one["tags"] for one in tempo.get("/api/v2/search/tags", params=NEAR).json()["scopes"]}
    assert scopes["resource"] == ["service.name", "zone"]
    assert {"text", "app/route.name"} <= set(scopes["span"])
    assert {"name", "status", "kind", "duration", "rootServiceName"} <= set(scopes["intrinsic"])
    only = tempo.get("/api/v2/search/tags", params={"scope": "resource"}).json()["scopes"]
    assert [one["name"] for one in only] == ["resource"]
    assert {"service.name", "text"} <= set(tempo.get("/api/search/tags").json()["tagNames"])


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("resource.service.name", [("string", "front"), ("string", "back")]),
        ("span.app/route.name", [("string", "/buy")]),
        (".zone", [("string", "eu/west.1")]),
        ("span.count", [("int", "3")]),
        ("span.flag", [("bool", "true")]),
        ("span.ratio", [("float", "0.5")]),
        ("status", [("keyword", "unset"), ("keyword", "ok"), ("keyword", "error")]),
        ("rootName", [("string", "POST /buy"), ("string", "GET /")]),
        ("span.100%", []),
    ],
)
def test_values_of_a_tag_that_is_encoded_twice(tempo: httpx.Client, tag: str, expected: list[tuple[str, str]]) -> None:
    twice = quote(quote(tag, safe=""), safe="")
    found = tempo.get(f"/api/v2/search/tag/{twice}/values").json()["tagValues"]
    assert sorted((one["type"], one["value"]) for one in found) == sorted(expected)
    once = tempo.get(f"/api/v2/search/tag/{quote(tag, safe='')}/values").json()["tagValues"]
    assert once == found


def test_the_first_api_knows_tags_without_scopes(tempo: httpx.Client) -> None:
    assert tempo.get("/api/search/tag/app%252Froute.name/values").json()["tagValues"] == ["/buy"]
    assert sorted(tempo.get("/api/search/tag/service.name/values").json()["tagValues"]) == ["back", "front"]


def test_values_are_those_of_matching_spans_and_a_half_written_query_narrows_nothing(tempo: httpx.Client) -> None:
    path = "/api/v2/search/tag/name/values"
    narrowed = tempo.get(path, params={"q": '{ resource.service.name = "back" }'}).json()["tagValues"]
    assert [one["value"] for one in narrowed] == ["SELECT"]
    assert len(tempo.get(path, params={"q": "{ resource.service.name = }"}).json()["tagValues"]) == 3


@pytest.mark.parametrize("path", ["/api/metrics/query_range", "/api/metrics/query"])
def test_metrics_are_said_not_to_be_offered(tempo: httpx.Client, path: str) -> None:
    answer = tempo.get(path, params={"q": "{} | rate()"})
    assert (answer.status_code, "not offered" in answer.text) == (501, True)


def test_the_list_of_spans_says_how_many_there_are(tempo: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TRACE_SPANS_MAX", 1)
    monkeypatch.setattr(traces, "_FEW", 1)
    with httpx.Client(base_url=str(tempo.base_url).replace("/tempo", ""), trust_env=False) as api:
        answer = api.get(f"/api/v1/traces/{TRACE.hex()}", params=NEAR)
        assert (len(answer.json()), answer.headers["x-total-count"]) == (1, "2")
        assert api.get(f"/api/v1/traces/{TRACE.hex()}", params={"end": "1000000000"}).status_code == 404
        slow = api.get("/api/v1/traces", params={"sort": "slowest"}).json()
        assert [row["name"] for row in slow] == ["POST /buy", "GET /"]
        matching = api.get("/api/v1/traces", params={"q": '{ span.count > 2 || name = "SELECT" }'}).json()
        assert [row["name"] for row in matching] == ["SELECT", "POST /buy"]
        for wrong in ({"q": "{"}, {"sort": "best"}):
            assert api.get("/api/v1/traces", params=wrong).status_code == 422


def test_a_key_bound_to_a_model_sees_its_own_spans_alone(services: Services, tempo: httpx.Client) -> None:
    def key(scope: str, model: str | None, seed: int) -> dict[str, str]:
        made = new_key(scope, bytes([seed]) * RANDOM_BYTES)
        services.catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, AT, None))
        return {"Authorization": f"Bearer {made.plain}"}

    bound, ingest = key("read", "other", 1), key("ingest", None, 2)
    services.clock.advance(10)  # type: ignore[attr-defined]
    assert tempo.get("/api/echo").status_code == 401
    assert tempo.get("/api/echo", headers=ingest).status_code == 403
    assert tempo.get("/api/echo", headers=bound).status_code == 200
    assert tempo.get(f"/api/traces/{TRACE.hex()}", headers=bound).status_code == 404
    assert tempo.get(f"/api/v2/traces/{SHORT.hex()}", headers=bound).status_code == 200
    found = tempo.get("/api/search", headers=bound).json()["traces"]
    assert [one["traceID"] for one in found] == [SHORT.hex()]
    names = tempo.get("/api/v2/search/tag/name/values", headers=bound).json()["tagValues"]
    assert [one["value"] for one in names] == ["GET /"]
    spans = next(
        one for one in tempo.get("/api/v2/search/tags", headers=bound).json()["scopes"] if one["name"] == "span"
    )
    assert spans["tags"] == ["seamark.model.name"]
