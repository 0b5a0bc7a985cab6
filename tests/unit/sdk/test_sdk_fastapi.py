"""A real FastAPI application, instrumented: server spans, joined predictions, marked synthetic traffic."""

import asyncio
import sys

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from seamark_sdk import testing
from seamark_sdk.synthetic import kind_of

MARK = "user_agent.synthetic.type"


@pytest.fixture
def serve(connect):
    applications = []

    def start(**arguments):
        app = FastAPI()
        sea = connect(**arguments)

        @app.post("/predict/{customer}")
        def predict(customer: str):  # in a thread, as model servers do
            return {"id": sea.log_prediction({"a": 1}, 1)}

        @app.post("/later")
        async def later(tasks: BackgroundTasks):
            tasks.add_task(sea.log_prediction, {"a": 1}, 1)

        @app.post("/broken")
        async def broken():
            raise HTTPException(500)

        @app.get("/healthz")
        def healthz():
            return "ok"

        sea.instrument(app)
        applications.append(app)
        return app, sea

    yield start
    for app in applications:
        FastAPIInstrumentor.uninstrument_app(app)


def ask(app, path, headers=None, method="POST"):
    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(once())


def test_a_request_is_one_server_span_that_its_prediction_names(collector, serve):
    app, sea = serve()
    answer = ask(app, "/predict/7")
    assert sea.flush(5)
    ((span, attributes, resource),) = collector.spans
    assert (span.kind, attributes["http.route"]) == (2, "/predict/{customer}")
    assert (resource["service.name"], resource["seamark.model.version"]) == ("churn", "3")
    assert MARK not in attributes
    ((_, prediction, record, log_resource),) = collector.events
    assert prediction["seamark.prediction.id"] == answer.json()["id"]
    assert MARK not in prediction
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert log_resource["service.instance.id"] == resource["service.instance.id"]


@pytest.mark.parametrize(
    "headers, kind",
    [
        ({"seamark-synthetic": "test"}, "test"),
        ({"Seamark-Synthetic": "1"}, "test"),
        ({"seamark-synthetic": "bot"}, "bot"),
        ({"user-agent": "seamark-loadtest/0.1"}, "test"),
        ({"baggage": "tenant=a,user_agent.synthetic.type=test"}, "test"),
    ],
)
def test_synthetic_traffic_is_marked_on_span_and_prediction(collector, serve, headers, kind):
    app, sea = serve()
    ask(app, "/predict/7", headers)
    ask(app, "/predict/8")
    assert sea.flush(5)
    assert [attributes.get(MARK) for _, attributes, _ in collector.spans] == [kind, None]
    assert [event[1].get(MARK) for event in collector.events] == [kind, None]


def test_work_after_the_answer_is_still_marked(collector, serve):
    app, sea = serve()
    ask(app, "/later", {"seamark-synthetic": "test"})
    assert sea.flush(5)
    assert collector.events[0][1][MARK] == "test"


@pytest.mark.parametrize("headers", [{"seamark-synthetic": "0"}, {"user-agent": "curl"}, {"baggage": "=%%%;,,"}])
def test_other_headers_mark_nothing(headers):
    assert kind_of([(name.encode(), value.encode()) for name, value in headers.items()]) is None


def test_errors_show_and_health_checks_do_not(collector, serve):
    app, sea = serve()
    ask(app, "/broken")
    ask(app, "/healthz", method="GET")
    assert sea.flush(5)
    ((span, attributes, _),) = collector.spans
    assert (attributes["http.route"], span.status.code) == ("/broken", 2)


def test_switched_off_an_application_still_serves_and_marks(serve):
    app, _ = serve(endpoint="")
    with testing.capture() as sent:
        assert ask(app, "/predict/7", {"seamark-synthetic": "test"}).status_code == 200
    assert sent.predictions[0]["synthetic"] == "test"


def test_without_the_extra_the_error_says_what_to_install(connect, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.fastapi", None)
    with pytest.raises(ImportError, match=r"pip install 'seamark-sdk\[fastapi\]'"):
        connect().instrument(FastAPI())


def test_after_the_first_request_it_is_too_late(serve, connect):
    app, _ = serve()
    ask(app, "/predict/7")
    with pytest.raises(RuntimeError, match="after an application has started"):
        connect().instrument(app)
