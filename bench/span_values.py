"""A seed and an instant -> the values of spans as busy model servers make them: ids, times and attributes all fresh.

Four spans to a trace (the request, two steps inside it and one call it makes), an event on each fifth span, three
traces in a hundred failed. Of the twelve attributes of a span five are new in every trace or span; the others come
from small sets, as in real traffic. Nothing is drawn from a pool that repeats: a memo must find nothing to remember.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SPANS_PER_TRACE = 4
EVENT_EVERY = 5
FAILED_SHARE = 0.03
TENANTS = tuple(f"t{n}" for n in range(50))
ROUTES = tuple(f"/v1/{what}" for what in ("score", "rank", "embed", "explain", "batch", "classify", "detect", "health"))
SERVERS = tuple(f"node-{n:02d}.internal" for n in range(16))
AGENTS = tuple(f"shop-client/{major}.{minor} (python)" for major in (3, 4) for minor in range(4))
NAMES = ("POST", "preprocess", "predict", "GET features")  # of the four; the route is added to the first
KINDS = (2, 1, 1, 3)  # SERVER, INTERNAL, INTERNAL, CLIENT
FAILURES = (500, 502, 503, 504)
PORT = 8080


@dataclass(frozen=True)
class SpanValues:
    """Columns of n spans, those of a trace side by side, its root first. Those named `*_of_trace` have n/4 entries."""

    spans: int
    trace_ids: bytes  # 16 for each trace
    span_ids: bytes  # 8 for each span
    start_ns: Any  # int64
    duration_ns: Any  # int64
    route_of_trace: Any  # index into ROUTES
    server_of_trace: Any
    agent_of_trace: Any
    tenant_of_trace: Any
    address_of_trace: Any  # uint8, shape (n/4, 3): the last three numbers of 10.a.b.c
    request_ids: bytes  # 8 for each trace, shown as 16 hex digits
    status_of_trace: Any  # HTTP status of the root; its children have 200
    call_failed_of_trace: Any  # bool: the outgoing call is what failed
    batch_rows: Any  # 1 to 64, int64
    body_bytes: Any  # int64
    score: Any  # float64 with six digits


def draw(seed: tuple[int, ...], spans: int, at_ns: int, span_ns: int) -> SpanValues:
    """Draw `spans` spans (a multiple of four) whose traces begin evenly, with jitter, within [at_ns, at_ns + span_ns).

    The seed is the only source: the same seed gives the same spans, so each batch needs one of its own.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    traces = spans // SPANS_PER_TRACE
    begins_ns = at_ns + ((np.arange(traces) + rng.uniform(0, 4, traces)) * (span_ns / (traces + 4))).astype(np.int64)
    root_ns = rng.lognormal(np.log(25e6), 0.8, traces)
    # Parts of the root's time: each step begins after the last, and all end before the root does.
    parts = rng.dirichlet((1.0, 1.5, 6.0, 3.0), traces) * root_ns[:, None]
    before_ns = np.cumsum(parts, axis=1)
    duration_ns = np.concatenate([root_ns[:, None], parts[:, 1:]], axis=1)
    start_ns = np.concatenate([np.zeros((traces, 1)), before_ns[:, :3]], axis=1)
    failed = rng.random(traces) < FAILED_SHARE
    return SpanValues(
        spans=spans,
        trace_ids=rng.bytes(16 * traces),
        span_ids=rng.bytes(8 * spans),
        start_ns=(begins_ns[:, None] + start_ns.astype(np.int64)).reshape(-1),
        duration_ns=duration_ns.astype(np.int64).reshape(-1),
        route_of_trace=_busiest_first(rng, len(ROUTES), traces),
        server_of_trace=rng.integers(0, len(SERVERS), traces),
        agent_of_trace=_busiest_first(rng, len(AGENTS), traces),
        tenant_of_trace=_busiest_first(rng, len(TENANTS), traces),
        address_of_trace=rng.integers(1, 255, (traces, 3)),
        request_ids=rng.bytes(8 * traces),
        status_of_trace=np.where(failed, rng.choice(FAILURES, traces), 200),
        call_failed_of_trace=failed & (rng.random(traces) < 0.5),
        batch_rows=rng.integers(1, 65, spans),
        body_bytes=rng.lognormal(np.log(900), 0.6, spans).astype(np.int64) + 40,
        score=np.round(rng.beta(2.0, 5.0, spans), 6),
    )


def _busiest_first(rng: np.random.Generator, choices: int, count: int) -> Any:
    """Draw indices where the n-th is chosen in proportion to 1/(n+1)."""
    weights = 1.0 / np.arange(1, choices + 1)
    return rng.choice(choices, count, p=weights / weights.sum())
