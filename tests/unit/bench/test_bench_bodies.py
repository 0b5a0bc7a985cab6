"""What the benches send and store: rows the service takes without a complaint, and never the same ones twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from bench import prediction_bodies, span_bodies, span_rows
from bench.bodies import Reader, make
from bench.payloads import PAYLOADS, Reading

from seamark.core.records import SPANS
from seamark.wire.otlp import Encoding, decode_logs, decode_traces
from seamark.wire.predictions import decode_predictions

AT_NS = 1_790_000_000_000_000_000
RECEIVED = datetime.fromtimestamp(AT_NS / 1e9 + 2, UTC)
SEED = (7, 3)


def spans_of(body, encoding=Encoding.PROTOBUF):
    decoded = decode_traces(body, encoding, received_at=RECEIVED)
    assert not decoded.refusals
    return decoded.tables["spans"]


def test_both_encodings_of_a_seed_are_the_same_spans():
    spans = spans_of(span_bodies.protobuf(SEED, 512, AT_NS))
    assert spans.num_rows == 512
    assert spans.equals(spans_of(span_bodies.json(SEED, 512, AT_NS), Encoding.JSON))


def test_all_three_forms_of_a_seed_are_the_same_predictions():
    more = {"received_at": RECEIVED, "new_id": iter(()).__next__}
    forms = (
        decode_predictions(prediction_bodies.ndjson(SEED, 100, AT_NS), "application/x-ndjson", **more),
        decode_predictions(prediction_bodies.arrow(SEED, 100, AT_NS), "application/vnd.apache.arrow.stream", **more),
        decode_logs(prediction_bodies.otlp_logs(SEED, 100, AT_NS), Encoding.PROTOBUF, **more),
    )
    tables = [form.tables["predictions"] for form in forms]
    assert tables[0].num_rows == 100
    assert len(tables[0]["numeric"][0]) + len(tables[0]["categorical"][0]) == 30
    assert tables[1].equals(tables[0])
    assert tables[2].equals(tables[0])


def test_spans_of_different_bodies_share_no_id_and_no_value_that_should_be_fresh():
    first, second = (spans_of(span_bodies.protobuf((7, n), 512, AT_NS)) for n in (3, 19))  # of the same instance
    assert first["resource"][0] == second["resource"][0]
    for column in ("trace_id", "span_id", "duration_ns"):
        assert not {*first[column].to_pylist()} & {*second[column].to_pylist()}, column
    requests = [{json.loads(text)["request.id"] for text in one["attributes"].to_pylist()} for one in (first, second)]
    assert len(requests[0]) == 128
    assert not requests[0] & requests[1]
    assert len({*first["attributes"].to_pylist()} | {*second["attributes"].to_pylist()}) == 1024


@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_payload_is_read_by_the_services_own_functions(kind):
    payload = PAYLOADS[kind]
    body, plain_bytes = payload.make(SEED, AT_NS)
    assert Reading(payload).rows_of(body) == payload.rows
    assert (len(body) < plain_bytes) == payload.gzipped


@pytest.mark.slow
def test_bodies_made_by_several_processes_are_all_there_and_differ(tmp_path):
    bodies = make("protobuf", 5, tmp_path / "bodies")
    found = [bytes(body) for body in Reader(bodies.folder, bodies.parts)]
    assert len({*found}) == bodies.count == 5
    assert sum(map(len, found)) == bodies.sent_bytes
    assert bodies.rows == 5 * 512


def test_rows_for_a_lake_are_such_as_their_requests_would_have_become():
    made = span_rows.table(SEED, 400, AT_NS, 10**10, new_version=0.5)
    sent = spans_of(span_bodies.protobuf(SEED, 400, AT_NS))
    assert made.schema == SPANS
    for column in SPANS.names:
        assert (made[column].null_count == 400) == (sent[column].null_count == 400), column
    for column in ("attributes", "resource", "events"):
        shapes = [
            {json.dumps(shape(json.loads(text))) for text in one[column].to_pylist() if text} for one in (made, sent)
        ]
        assert shapes[0] == shapes[1], column
    for row in made.select(["failed", "status", "http_status"]).to_pylist():
        assert row["failed"] == (row["status"] == 2 or row["http_status"] >= 500)
    assert made["failed"].to_pylist().count(True) > 0
    assert made["received_at"].to_pylist() == sorted(made["received_at"].to_pylist())


def shape(value):
    """Return names and types without values."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__
