"""The kinds of request the ingest bench sends, by name, and how the service's own code reads each.

Another kind is a function from (seed, rows, at_ns) to bytes and a line here.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from bench import prediction_bodies, span_bodies

Make = Callable[[tuple[int, ...], int, int], bytes]

MAIN = "protobuf"  # the kind by which the goals and the neighbours are measured
GZIP_LEVEL = 6  # what OpenTelemetry's SDKs take


@dataclass(frozen=True)
class Payload:
    """One kind: `rows` in a request, of lake table `table`; `reach` is how many a second are wanted."""

    title: str
    path: str
    media_type: str
    rows: int
    make_plain: Make
    table: str
    signal: str  # as seamark_ingest_rows_total names it
    unit: str
    reach: float
    gzipped: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, but for its length."""
        packed = {"Content-Encoding": "gzip"} if self.gzipped else {}
        return {"Content-Type": self.media_type, **packed}

    def make(self, seed: tuple[int, ...], at_ns: int) -> tuple[bytes, int]:
        """Return a body that no other seed gives, and its length before compression."""
        plain = self.make_plain(seed, self.rows, at_ns)
        return (gzip.compress(plain, GZIP_LEVEL) if self.gzipped else plain), len(plain)


PROTOBUF, JSON = "application/x-protobuf", "application/json"

PAYLOADS: dict[str, Payload] = {
    "protobuf": Payload(
        "OTLP protobuf", "/v1/traces", PROTOBUF, 512, span_bodies.protobuf, "spans", "traces", "spans", 60_000
    ),
    "json": Payload("OTLP JSON", "/v1/traces", JSON, 512, span_bodies.json, "spans", "traces", "spans", 35_000),
    "ndjson": Payload(
        "predictions, NDJSON",
        "/api/v1/predictions",
        "application/x-ndjson",
        1_000,
        prediction_bodies.ndjson,
        "predictions",
        "predictions",
        "rows",
        30_000,
    ),
    "arrow": Payload(
        "predictions, Arrow",
        "/api/v1/predictions",
        "application/vnd.apache.arrow.stream",
        10_000,
        prediction_bodies.arrow,
        "predictions",
        "predictions",
        "rows",
        150_000,
        gzipped=False,
    ),
    "logs": Payload(
        "predictions, OTLP logs",
        "/v1/logs",
        PROTOBUF,
        1_000,
        prediction_bodies.otlp_logs,
        "predictions",
        "logs",
        "rows",
        25_000,
    ),
}


@dataclass
class Reading:
    """The service's own way from a body to Arrow rows, without HTTP, without the lake."""

    payload: Payload
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def rows_of(self, body: bytes) -> int:
        """Unpack and decode one body as the service would; return its rows, all of which must be good."""
        return self.rows_of_all([body])

    def rows_of_all(self, bodies: Sequence[bytes]) -> int:
        """Unpack and decode bodies that came together."""
        from isal import isal_zlib

        plain = [isal_zlib.decompress(body, 31) if self.payload.gzipped else body for body in bodies]
        decoded = self._decode(plain)
        for one in decoded:
            if isinstance(one, Exception) or one.refusals:
                raise RuntimeError(f"the bench made a bad body: {one}")
        return sum(int(one.rows) for one in decoded)

    def _decode(self, plain: Sequence[bytes]) -> Sequence[Any]:
        from seamark.wire.otlp import Encoding, decode_logs, decode_many_traces
        from seamark.wire.predictions import decode_predictions

        payload, at = self.payload, self.received_at
        if payload.signal == "traces":
            return decode_many_traces(plain, Encoding(payload.media_type), received_at=[at] * len(plain))
        if payload.signal == "logs":
            encoding = Encoding(payload.media_type)
            return [decode_logs(body, encoding, received_at=at, new_id=_new_id) for body in plain]
        return [decode_predictions(body, payload.media_type, received_at=at, new_id=_new_id) for body in plain]


def _new_id() -> str:
    return uuid4().hex
