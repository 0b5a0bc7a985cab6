"""CloudEvents as KServe's payload logger sends them become halves of inferences; all else is refused with a reason."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import InputRefused, WrongMediaType
from seamark.wire.cloudevents import read_event
from seamark.wire.values import clean_name

RECEIVED_US = 1_769_860_800_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
# As kserve/pkg/logger/worker.go sets them and cloudevents/sdk-go v2 writes them.
HEADERS = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "6a1b8d0e-8a5c-4f7b-9a53-0d6f3a3f5a77",
    "ce-type": "org.kubeflow.serving.inference.request",
    "ce-source": "http://localhost:9081/",
    "ce-time": "2026-01-31T11:59:59.123456789Z",
    "ce-inferenceservicename": "churn",
    "ce-namespace": "shop",
    "ce-component": "predictor",
    "ce-endpoint": "default",
    "ce-metadata": "{}",
}


def read(query=(), drop=(), **changed):
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return read_event([(n, v) for n, v in headers.items() if n not in drop], query, b"{}", RECEIVED_US)


def test_a_request_as_kserve_sends_it():
    half = read()
    assert half.key == ("churn", "default", HEADERS["ce-id"])
    assert (half.half, half.body, half.feature_names, half.synthetic) == ("request", b"{}", (), False)
    assert half.at_us == 1_769_860_799_123_456
    assert half.received_us == RECEIVED_US
    assert json.loads(half.segment) == {"namespace": "shop", "component": "predictor", "endpoint": "default"}


def test_a_response_has_the_same_key():
    assert read(ce_type="org.kubeflow.serving.inference.response").half == "response"
    assert read(ce_type="org.kubeflow.serving.inference.response").key == read().key


def test_what_is_not_there_is_unknown():
    half = read(drop=("ce-time", "ce-namespace", "ce-component", "ce-endpoint", "ce-metadata", "content-type"))
    assert (half.at_us, half.version, half.segment, half.trace_id) == (RECEIVED_US, "", None, None)


def test_a_raw_deployment_sends_empty_words():
    half = read(ce_endpoint="", ce_component="")
    assert (half.model, half.version, json.loads(half.segment)) == ("churn", "", {"namespace": "shop"})


@pytest.mark.parametrize("component", ["transformer", "explainer"])
def test_what_a_transformer_is_sent_is_not_what_its_predictor_is_sent(component):
    assert read(ce_component=component).model == f"churn-{component}"


def test_the_url_names_model_version_and_features():
    half = read([("model", "churn-eu"), ("version", "7"), ("features", "age,income")], ce_component="transformer")
    assert (half.model, half.version, half.feature_names) == ("churn-eu", "7", ("age", "income"))


def test_an_annotation_names_the_version_and_the_url_wins():
    noted = json.dumps({"seamark.model.version": "6"})
    assert read(ce_annotations=noted).version == "6"
    assert read([("version", "7")], ce_annotations=noted).version == "7"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"ce_traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"ce_metadata": json.dumps({"Traceparent": [f"00-{TRACE}-b7ad6b7169203331-01"]})}, TRACE),
        ({"ce_metadata": json.dumps({"Traceparent": ["00-nonsense"]})}, None),
        ({"ce_metadata": json.dumps({"Traceparent": []})}, None),
        ({"ce_metadata": json.dumps({"Traceparent": {"a": 1}})}, None),
        ({"ce_traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"ce_metadata": "null"}, None),
    ],
)
def test_the_trace_of_the_inference(changed, found):
    trace_id = read(**changed).trace_id
    assert (trace_id.hex() if trace_id else None) == found


@pytest.mark.parametrize(
    ("sent", "synthetic"),
    [
        ({"Seamark-Synthetic": ["test"]}, True),
        ({"User-Agent": ["seamark-loadtest/1"]}, True),
        ({"Baggage": ["a=b, user_agent.synthetic.type=test;p=1"]}, True),
        ({"Baggage": ["other.user_agent.synthetic.type=test"]}, False),
        ({"Baggage": ["user_agent.synthetic.type=testing"]}, False),
        ({"Seamark-Synthetic": ["0"]}, False),
        ({"User-Agent": ["curl/8"]}, False),
    ],
)
def test_load_tests_are_known_by_what_they_send(sent, synthetic):
    assert read(ce_metadata=json.dumps(sent)).synthetic is synthetic


def test_utf8_in_a_header_is_read_as_utf8():
    half = read(ce_namespace="Grüße".encode().decode("latin-1"))
    assert json.loads(half.segment)["namespace"] == "Grüße"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ce_specversion": "0.3"}, "ce-specversion"),
        ({"ce_specversion": ""}, "ce-specversion"),
        ({"ce_type": "org.example.other"}, "ce-type"),
        ({"ce_type": ""}, "ce-type"),
        ({"ce_id": ""}, "ce-id"),
        ({"ce_id": "   "}, "ce-id"),
        ({"ce_id": "a" * 241}, "at most 240"),
        ({"ce_id": "a\x01b"}, "control characters"),
        ({"ce_id": "\xff\xfe"}, "not UTF-8"),
        ({"ce_inferenceservicename": ""}, "ce-inferenceservicename"),
        ({"ce_inferenceservicename": "a" * 300}, "at most 256"),
        ({"ce_inferenceservicename": "a" * 250, "ce_component": "transformer"}, "ce-component"),
        ({"ce_time": "yesterday"}, "ce-time"),
        ({"ce_time": "2026-01-31T12:00:00"}, "no time zone"),
        ({"ce_time": "9999-01-31T12:00:00Z"}, "1970 and 2262"),
        ({"ce_metadata": "[1]"}, "ce-metadata"),
        ({"ce_metadata": "{"}, "ce-metadata"),
        ({"ce_metadata": "[" * 50_000}, "ce-metadata"),
        ({"ce_annotations": "7"}, "ce-annotations"),
        ({"ce_annotations": json.dumps({"seamark.model.version": "v" * 300})}, "version"),
    ],
)
def test_a_wrong_attribute_is_named(changed, told):
    with pytest.raises(InputRefused, match=told):
        read(**changed)


@pytest.mark.parametrize("name", ["ce-id", "ce-type", "ce-inferenceservicename", "ce-specversion", "content-type"])
def test_an_attribute_that_comes_twice_is_refused(name):
    with pytest.raises(InputRefused, match="twice"):
        read_event([*HEADERS.items(), (name, HEADERS[name])], (), b"{}", RECEIVED_US)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ([("modell", "x")], "modell"),
        ([("model", "")], "model"),
        ([("model", "a"), ("model", "b")], "twice"),
        ([("version", "v" * 300)], "version"),
        ([("features", ",")], "1 to 256"),
        ([("features", "a,a")], "twice"),
        ([("features", "f1,b")], "another place"),
        ([("features", ",".join(f"n{i}" for i in range(1_001)))], "1,001 names"),
    ],
)
def test_a_wrong_parameter_is_named(query, told):
    with pytest.raises(InputRefused, match=told):
        read(query)


@pytest.mark.parametrize("kind", ["application/cloudevents+json", "application/cloudevents-batch+json; charset=UTF-8"])
def test_other_modes_are_told_what_to_send(kind):
    with pytest.raises(WrongMediaType, match="binary mode"):
        read_event([("content-type", kind)], (), b"{}", RECEIVED_US)


def test_a_request_that_is_no_event_is_told_so():
    with pytest.raises(InputRefused, match="ce-specversion is missing"):
        read_event([("content-type", "application/json")], (), b"{}", RECEIVED_US)


LATIN = st.text(st.characters(max_codepoint=255), max_size=40)


@given(st.dictionaries(st.sampled_from([name for name in HEADERS if name != "ce-specversion"]), LATIN))
def test_whatever_headers_say_it_is_a_half_or_a_refusal(changed):
    with contextlib.suppress(InputRefused):
        half = read_event([*{**HEADERS, **changed}.items()], (), b"{}", RECEIVED_US)
        assert 0 < len(half.model) <= 256
        assert clean_name(half.inference_id) == half.inference_id
