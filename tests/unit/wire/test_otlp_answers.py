"""What OTLP senders are answered, read back by the real message classes."""

import json

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from seamark.core.records import Refusal
from seamark.wire.otlp import Encoding
from seamark.wire.otlp_answers import export_answer, reasons, status_answer, status_message

SIGNALS = [
    ("traces", ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    ("logs", ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    ("metrics", ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
]


@pytest.mark.parametrize("signal, message, field, key", SIGNALS)
def test_success_is_an_empty_message(signal, message, field, key):
    assert not message.FromString(export_answer(signal, Encoding.PROTOBUF)).HasField("partial_success")
    assert json.loads(export_answer(signal, Encoding.JSON)) == {}


@pytest.mark.parametrize("signal, message, field, key", SIGNALS)
def test_refusals_are_a_partial_success(signal, message, field, key):
    told = message.FromString(export_answer(signal, Encoding.PROTOBUF, 3, "why")).partial_success
    assert (getattr(told, field), told.error_message) == (3, "why")
    answer = json.loads(export_answer(signal, Encoding.JSON, 3, "why"))
    assert answer == {"partialSuccess": {key: "3", "errorMessage": "why"}}


@pytest.mark.parametrize(
    "http_status, code", [(400, 3), (401, 16), (403, 7), (405, 12), (413, 8), (503, 14), (500, 13), (418, 13)]
)
def test_errors_are_a_google_rpc_status(http_status, code):
    sentence = "the body is too large \u00e4" * 9
    told = Status.FromString(status_answer(http_status, sentence, Encoding.PROTOBUF))
    assert (told.code, told.message) == (code, sentence)
    assert json.loads(status_answer(http_status, sentence, Encoding.JSON)) == {"code": code, "message": sentence}
    assert Status.FromString(status_answer(http_status, "", Encoding.PROTOBUF)).code == code


def test_reasons_name_the_first_and_are_bounded():
    assert reasons([], 5, "spans") == ""
    assert reasons([Refusal(4, "no id")], 9, "spans") == "1 of 9 spans refused: 4: no id"
    told = reasons([Refusal(i, "x" * 500) for i in range(2_000)], 2_000, "spans")
    assert told.startswith("2,000 of 2,000 spans refused: 0: xxx")
    assert told.endswith("; and 1,995 more")
    assert len(told) <= 1_000


@pytest.mark.parametrize("seconds", [0, 1, 300, 100_000])
def test_a_status_says_after_which_time_a_retry_helps(seconds):
    status = Status.FromString(status_message(14, "full \u2603", seconds))
    assert (status.code, status.message, len(status.details)) == (14, "full \u2603", 1)
    told = RetryInfo()
    assert status.details[0].Unpack(told)
    assert (told.retry_delay.seconds, told.retry_delay.nanos) == (seconds, 0)
    assert not Status.FromString(status_message(14, "full")).details
