"""Predictions and labels over real HTTP, decoded with OpenTelemetry's own protobuf."""

import logging
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider

import seamark_sdk
from seamark_sdk import testing


def test_a_prediction_and_its_label_arrive_whole(collector, connect):
    sea = connect()
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    made = sea.log_prediction(
        features={"age": 41, "income": 1.5, "plan": "gold", "member": True, "visits": None, "ratio": float("nan")},
        prediction=np.int64(1),
        scores={0: 0.2, 1: np.float64(0.8)},
        segment={"region": "north"},
        latency_ms=2.5,
        at=at,
    )
    sea.log_label(made, False)
    assert sea.flush(5)
    (prediction, label) = collector.events
    assert prediction[0] == "seamark.prediction"
    assert prediction[1] == {
        "seamark.prediction.id": made,
        "seamark.prediction.value": 1,
        "seamark.prediction.latency_ms": 2.5,
        "seamark.features": {
            "age": 41,
            "income": 1.5,
            "plan": "gold",
            "member": True,
            "visits": None,
            "ratio": None,
        },
        "seamark.scores": {"0": 0.2, "1": 0.8},
        "seamark.segment": {"region": "north"},
    }
    assert prediction[2].time_unix_nano == int(at.timestamp()) * 10**9
    assert label[:2] == ("seamark.label", {"seamark.prediction.id": made, "seamark.label.value": 0})
    resource = prediction[3]
    assert resource["service.name"] == resource["seamark.model.name"] == "churn"
    assert resource["service.version"] == resource["seamark.model.version"] == "3"
    assert len(resource["service.instance.id"]) == 36
    assert (sea.dropped, sea.waiting, sea.cut) == (0, 0, 0)


def test_a_prediction_carries_the_trace_it_was_made_in(collector, connect):
    sea = connect()
    with TracerProvider(shutdown_on_exit=False).get_tracer("app").start_as_current_span("work") as span:
        sea.log_prediction({"a": 1}, 1)
    assert sea.flush(5)
    assert collector.events[0][2].trace_id == span.get_span_context().trace_id.to_bytes(16, "big")


def test_the_key_and_gzip(collector, connect, monkeypatch):
    monkeypatch.setenv("SEAMARK_API_KEY", "from-environment")
    connect().log_prediction({"a": 1}, 1)
    connect(api_key="given").log_prediction({"a": 1}, 1)
    collector.wait_for(lambda c: len(c.events) == 2)
    headers = [headers for _, headers, _ in collector.requests]
    assert {h["authorization"] for h in headers} == {"Bearer from-environment", "Bearer given"}
    assert {h["content-encoding"] for h in headers} == {"gzip"}


@pytest.mark.slow
def test_a_503_is_tried_again_and_nothing_is_lost(collector, connect):
    collector.statuses = [503]
    sea = connect()
    sea.log_prediction({"a": 1}, 1)
    assert sea.flush(8)
    assert (len(collector.events), sea.dropped) == (1, 0)


def test_a_refused_batch_is_counted(collector, connect):
    collector.statuses = [400]
    sea = connect()
    sea.log_prediction({"a": 1}, 1)
    assert sea.flush(5)
    assert (len(collector.events), sea.dropped, sea.waiting) == (0, 1, 0)


def test_a_full_queue_drops_the_newest_counts_it_and_never_waits(collector, connect, caplog):
    collector.gate.clear()
    sea = connect(queue_max=10)
    caplog.set_level(logging.WARNING, "seamark_sdk")
    began = time.monotonic()
    for i in range(200):
        sea.log_prediction({"i": i}, 1)
    assert time.monotonic() - began < 1
    assert (sea.waiting, sea.dropped) == (10, 190)
    assert len([r for r in caplog.records if r.name == "seamark_sdk.client"]) == 1  # told once, not 190 times
    collector.gate.set()
    assert sea.flush(5)
    assert [event[1]["seamark.features"]["i"] for event in collector.events] == list(range(10))


def test_many_threads_lose_nothing_uncounted(collector, connect):
    sea = connect(queue_max=300)
    threads = [threading.Thread(target=lambda: [sea.log_prediction({"a": 1}, 1) for _ in range(250)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sea.flush(10)
    assert len(collector.events) + sea.dropped == 1000


@pytest.mark.parametrize(
    "features, prediction",
    [({"a": 1}, None), ({"a": 1}, [1, 2]), (None, 1), ("text", 1), (42, 1)],
)
def test_an_unusable_prediction_is_counted_and_never_raises(collector, connect, features, prediction):
    sea = connect()
    assert sea.log_prediction(features, prediction)
    sea.log_prediction({"a": 1}, 1)
    assert sea.flush(5)
    assert (len(collector.events), sea.dropped) == (1, 1)


def test_an_unusable_feature_is_left_out_and_counted(collector, connect):
    sea = connect()
    sea.log_prediction({"a": 1, "embedding": [[0.1, 0.2]]}, 1)
    assert sea.flush(5)
    assert collector.events[0][1]["seamark.features"] == {"a": 1}
    assert (sea.cut, sea.dropped) == (1, 0)


@pytest.mark.slow
def test_shutdown_keeps_its_time_when_the_other_side_hangs(collector, connect):
    collector.gate.clear()
    sea = connect()
    sea.log_prediction({"a": 1}, 1)
    assert collector.asked.wait(5)
    sea.log_prediction({"a": 2}, 1)
    began = time.monotonic()
    assert not sea.shutdown(0.5)
    assert time.monotonic() - began < 2
    assert (sea.dropped, sea.waiting) == (2, 0)
    assert sea.log_prediction({"a": 3}, 1)  # after the end: an id, and a count
    assert sea.dropped == 3


@pytest.mark.slow
def test_nobody_there_costs_no_time_and_is_counted(connect):
    sea = connect(endpoint="http://127.0.0.1:9")
    began = time.monotonic()
    sea.log_prediction({"a": 1}, 1)
    assert time.monotonic() - began < 0.2
    assert not sea.shutdown(0.3)
    assert sea.dropped == 1


@pytest.mark.parametrize("off", ["endpoint", "environment"])
def test_switched_off_it_is_silent(collector, connect, monkeypatch, off, caplog):
    if off == "environment":
        monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    sea = connect(endpoint="" if off == "endpoint" else collector.url)
    made = sea.log_prediction({"a": 1}, 1)
    sea.log_label(made, 1)
    assert made
    assert sea.flush(1)
    assert sea.shutdown(1)
    assert (collector.requests, sea.dropped, caplog.records) == ([], 0, [])


def test_addresses_from_the_environment(collector, connect, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{collector.url}/")
    sea = connect(endpoint=None)
    sea.log_prediction({"a": 1}, 1)
    assert sea.flush(5)
    assert [path for path, _, _ in collector.requests] == ["/v1/logs"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"model": " "}, "model: ' ' is no name"),
        ({"endpoint": "localhost:8000"}, "endpoint: 'localhost:8000' is no address"),
        ({"endpoint": "ftp://x"}, "endpoint: 'ftp://x' is no address"),
        ({"queue_max": 0}, "queue_max: 0 holds nothing"),
    ],
)
def test_wrong_arguments_are_told_at_start(connect, arguments, told):
    with pytest.raises(ValueError, match=told):
        connect(**arguments)


def test_capture_keeps_what_would_be_sent(collector, connect):
    sea = connect()
    off = connect(model="other", version="", endpoint="")
    with testing.capture() as sent:
        made = sea.log_prediction({"a": 1}, "yes", scores={"yes": 0.9})
        off.log_label("p1", 0)
    sea.log_label(made, "no")
    assert sea.flush(5)
    assert sent.predictions == [
        {
            "model": "churn",
            "version": "3",
            "prediction_id": made,
            "features": {"a": 1},
            "prediction": "yes",
            "scores": {"yes": 0.9},
            "segment": {},
            "latency_ms": None,
            "synthetic": None,
        }
    ]
    assert sent.labels == [{"model": "other", "prediction_id": "p1", "label": 0}]
    assert [event[0] for event in collector.events] == ["seamark.label"]


def test_the_readme_lines_are_public():
    assert set(seamark_sdk.__all__) >= {"init", "Seamark", "SyntheticMiddleware"}
