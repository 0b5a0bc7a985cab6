"""What arrives, as Arrow tables: one schema per kind of row, the same in the wire, the buffer and the lake.

Times are microseconds UTC. JSON columns hold one object as text, or null. Ids of spans are raw bytes (16 and 8);
the wire turns hex into bytes and the edges turn bytes into hex.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seamark.core.feature_types import TypeClash

AT = pa.timestamp("us", tz="UTC")


class SpanKind(IntEnum):
    """OTLP's span kinds, by number."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class SpanStatus(IntEnum):
    """OTLP's span status codes, by number."""

    UNSET = 0
    OK = 1
    ERROR = 2


# A row per span. `is_request` marks the spans that count as one request to the model: SERVER and CONSUMER spans,
# and spans without a parent that are no CLIENT or PRODUCER span. `failed` is status ERROR or an HTTP status >= 500.
# `synthetic` marks load tests and probes (user_agent.synthetic.type): stored, shown, kept out of SLO and drift.
SPANS = pa.schema(
    [
        pa.field("trace_id", pa.binary(), nullable=False),
        pa.field("span_id", pa.binary(), nullable=False),
        pa.field("parent_span_id", pa.binary()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),  # "" where the sender names none
        pa.field("service", pa.string(), nullable=False),
        pa.field("instance", pa.string()),  # service.instance.id, else host.name and process.pid, else null
        pa.field("route", pa.string(), nullable=False),  # http.route, else the span's name
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("status", pa.int8(), nullable=False),
        pa.field("http_status", pa.int16()),
        pa.field("is_request", pa.bool_(), nullable=False),
        pa.field("failed", pa.bool_(), nullable=False),
        pa.field("synthetic", pa.bool_(), nullable=False),
        pa.field("start_at", AT, nullable=False),
        pa.field("duration_ns", pa.int64(), nullable=False),
        pa.field("attributes", pa.string()),  # JSON object
        pa.field("resource", pa.string()),  # JSON object
        pa.field("events", pa.string()),  # JSON array of {name, at, attributes}
        pa.field("received_at", AT, nullable=False),
        pa.field("scope", pa.string()),  # the instrumentation that made the span
        pa.field("links", pa.string()),  # JSON array of {trace_id, span_id, attributes}, ids in hex
        pa.field("gen_ai_model", pa.string()),  # gen_ai.response.model, else gen_ai.request.model
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("first_token_ns", pa.int64()),  # time to first token (OpenTelemetry: first chunk)
    ]
)

# A row per metric data point. Numbers have `value`; histograms and summaries have `count` and `sum`, histograms also
# `bounds` (n upper bounds) and `counts` (n+1), exponential ones with their bounds worked out; of a summary `bounds` are
# quantiles (0 to 1) and `quantile_values` what they are. `monotonic` and `temporality` are null where there is none.
METRIC_POINTS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("service", pa.string(), nullable=False),
        pa.field("instance", pa.string()),
        pa.field("name", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # gauge | sum | histogram | exponential_histogram | summary
        pa.field("temporality", pa.int8()),  # 1 delta, 2 cumulative
        pa.field("monotonic", pa.bool_()),
        pa.field("start_at", AT),
        pa.field("at", AT, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("count", pa.int64()),
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("bounds", pa.list_(pa.float64())),
        pa.field("counts", pa.list_(pa.int64())),
        pa.field("quantile_values", pa.list_(pa.float64())),
        pa.field("attributes", pa.string()),  # JSON object
        pa.field("resource", pa.string()),  # JSON object
        pa.field("received_at", AT, nullable=False),
    ]
)

# A row per prediction. Features lie in two lists, in the order that `schema_id` names (FeatureSchema); vectors' numbers
# stand behind the single ones.
PREDICTIONS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field("at", AT, nullable=False),
        pa.field("trace_id", pa.binary()),
        pa.field("segment", pa.string()),  # JSON object
        pa.field("schema_id", pa.int64(), nullable=False),
        pa.field("numeric", pa.list_(pa.float64())),
        pa.field("categorical", pa.list_(pa.string())),
        pa.field("prediction_number", pa.float64()),
        pa.field("prediction_text", pa.string()),
        pa.field("scores", pa.string()),  # JSON object: class -> probability
        pa.field("latency_ms", pa.float64()),
        pa.field("synthetic", pa.bool_(), nullable=False),
        pa.field("received_at", AT, nullable=False),
    ]
)

LABELS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field("label_number", pa.float64()),
        pa.field("label_text", pa.string()),
        pa.field("at", AT, nullable=False),
        pa.field("received_at", AT, nullable=False),
    ]
)

# A row per logged half of an inference, waiting for its other half: `half` is request or response, and `body` what the
# model server was sent or answered, as it was. A row `joined` (without a body) says that the predictions are stored.
INFERENCE_PAYLOADS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("inference_id", pa.string(), nullable=False),
        pa.field("half", pa.string(), nullable=False),
        pa.field("at", AT, nullable=False),
        pa.field("trace_id", pa.binary()),
        pa.field("segment", pa.string()),  # JSON object
        pa.field("synthetic", pa.bool_(), nullable=False),
        pa.field("feature_names", pa.list_(pa.string())),  # of features that come without names
        pa.field("body", pa.binary()),
        pa.field("body_bytes", pa.int64(), nullable=False),
        pa.field("received_at", AT, nullable=False),
    ]
)

# A row per request of a load test. Offsets count from the run's first instant. `latency_ms` counts from the instant
# the request was due, `service_latency_ms` from the instant it was sent; both are null for a request never sent.
LOAD_SAMPLES = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("segment", pa.int32(), nullable=False),  # 0, 1, ...: the stage or capacity step
        pa.field("due_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64()),
        pa.field("latency_ms", pa.float64()),
        pa.field("service_latency_ms", pa.float64()),
        pa.field("http_status", pa.int16()),  # null: no answer
        pa.field("ok", pa.bool_(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("number", pa.int32()),  # in order of sending; with the run's id it names the request's trace
        pa.field("first_token_ms", pa.float64()),  # from the send, of answers that stream
        pa.field("time_per_token_ms", pa.float64()),  # mean over the tokens after the first
        pa.field("tokens", pa.int32()),
        pa.field("answer_matches", pa.bool_()),  # the recorded one; null: there was none to hold it against
    ]
)
# What answers under load may carry beyond their latency.
ANSWER_DETAILS = ("number", "first_token_ms", "time_per_token_ms", "tokens", "answer_matches")

# The rows a model's traffic is held against: its training data, or a stretch of live traffic. What the model answered
# and what was true is null where nobody told it.
REFERENCE_ROWS = pa.schema(
    [
        pa.field("reference_id", pa.string(), nullable=False),
        pa.field("schema_id", pa.int64(), nullable=False),
        pa.field("numeric", pa.list_(pa.float64())),
        pa.field("categorical", pa.list_(pa.string())),
        pa.field("prediction_number", pa.float64()),
        pa.field("prediction_text", pa.string()),
        pa.field("label_number", pa.float64()),
        pa.field("label_text", pa.string()),
        pa.field("scores", pa.string()),  # JSON object: class -> probability
    ]
)
OUTCOMES = ("prediction_number", "prediction_text", "label_number", "label_text", "scores")

# Every table of the lake, by name.
TABLES: dict[str, pa.Schema] = {
    "spans": SPANS,
    "metric_points": METRIC_POINTS,
    "predictions": PREDICTIONS,
    "labels": LABELS,
    "inference_payloads": INFERENCE_PAYLOADS,
    "load_samples": LOAD_SAMPLES,
    "reference_rows": REFERENCE_ROWS,
}

# The column that says when a row happened; reads and retention are by it.
TIME_COLUMN = {
    "spans": "start_at",
    "metric_points": "at",
    "predictions": "at",
    "labels": "at",
    "inference_payloads": "received_at",
}

# Tables whose rows are soon of no use to anyone, however long the others are kept.
KEEP_DAYS_MAX = {"inference_payloads": 1.0}


def keep_days_of(table: str, keep_days: float) -> float:
    """Return how many days a table's rows are kept where all rows are kept `keep_days`."""
    return min(keep_days, KEEP_DAYS_MAX.get(table, keep_days))


@dataclass(frozen=True)
class FeatureSchema:
    """The names and order of a model's features: numbers in `numeric`, strings and booleans in `categorical`.

    `vectors` are lists of numbers, each with its dimension. In the lake their numbers lie in the numeric list, one
    after the other behind those of `numeric`; a vector that is not known is that many nulls.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    vectors: tuple[tuple[str, int], ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers a row holds."""
        return len(self.numeric) + sum(dimension for _, dimension in self.vectors)

    @cached_property
    def schema_id(self) -> int:
        """A 63-bit hash of names and order: every node derives the same id without asking anyone."""
        parts: list[object] = [self.numeric, self.categorical]
        text = json.dumps([*parts, self.vectors] if self.vectors else parts, ensure_ascii=False)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Refusal:
    """One row that was not taken: its place in the request and why."""

    index: int
    reason: str
    clash: TypeClash | None = None  # where it was for a feature's type


@dataclass(frozen=True)
class Decoded:
    """What a request turned into: `tables` by lake table name (only those with rows), and what was refused.

    `ids` are the prediction ids of the accepted rows in the order they were sent; `schemas` are the feature schemas
    that the prediction rows refer to, by schema_id; `groups` tell which model versions have which. `places` are the
    prediction rows' places in the request. `mixed` says that a feature came as a number and as a word: which one is
    right, only known types can tell.
    """

    tables: dict[str, pa.Table]
    refusals: tuple[Refusal, ...] = ()
    ids: tuple[str, ...] = ()
    schemas: tuple[tuple[str, FeatureSchema], ...] = ()  # (model, schema)
    groups: tuple[tuple[str, str, FeatureSchema], ...] = field(default=(), compare=False)  # (model, version, schema)
    places: Sequence[int] | npt.NDArray[np.int64] = field(default=(), compare=False)
    mixed: bool = False

    @property
    def rows(self) -> int:
        """Rows to be stored, over all tables."""
        return sum(table.num_rows for table in self.tables.values())


def holds_bytes(column: pa.ChunkedArray, wanted: bytes) -> bool:
    """Whether these bytes stand anywhere in a text column: a search through its memory, not value by value.

    A match may lie across two values: it is a reason to look closer, its absence is certain.
    """
    return any(_chunk_holds(chunk, wanted) for chunk in column.chunks if len(chunk))


def _chunk_holds(chunk: pa.Array, wanted: bytes) -> bool:
    _, offsets, data = chunk.buffers()
    if data is None:
        return False
    ends = np.frombuffer(offsets, dtype=np.int32)
    first, last = int(ends[chunk.offset]), int(ends[chunk.offset + len(chunk)])
    return wanted in data.slice(first, last - first).to_pybytes()
