"""A run's samples and the spans of its traces -> where the server's time went, beside what the client saw."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.load_traces import RunTraces, SlowRequest, run_prefix, trace_id
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import load_samples, run_traces
from seamark.store.catalog.runs import RunRecord

SLOWEST = 10
MARGIN_S = 60.0  # a server's clock may differ from ours by so much, and its last spans begin after the last send


def seed_of(run_id: str) -> int:
    """Return the seed of a run's arrivals and trace ids."""
    return int(run_id[:8], 16)


def of_run(services: Services, run: RunRecord, model: str | None = None, samples: pa.Table | None = None) -> RunTraces:
    """Return what the traces of a run tell; `model` is the only one whose spans are told of, None: of all.

    A run that has not begun has none. `samples` are its load samples, where somebody has read them already.
    """
    if run.started_at is None:
        return RunTraces(0, 0)
    samples = load_samples.samples(services.lake, run.id) if samples is None else samples
    numbered = samples.filter(pc.is_valid(samples["number"]))
    until = run.ended_at or services.clock.now()
    margin = timedelta(seconds=MARGIN_S)
    window = Window(run.started_at - margin, max(until, run.started_at) + margin)
    prefix = run_prefix(run.id)
    names, count, linked = run_traces.time_by_name(services.lake, prefix, window, model)
    slowest = _slowest(run.id, numbered)
    ids = [request.trace_id for request in slowest]
    spans = run_traces.server_spans(services.lake, prefix, ids, window, model) if names else {}
    told = [_with_server(request, spans.get(request.trace_id)) for request in slowest]
    return RunTraces(numbered.num_rows, linked, tuple(names), count - len(names), tuple(told))


def _slowest(run_id: str, samples: pa.Table) -> list[SlowRequest]:
    known = samples.filter(pc.is_valid(samples["latency_ms"]))
    latency_ms = np.asarray(known["latency_ms"].to_numpy(), dtype=np.float64)
    places = np.argsort(-latency_ms, kind="stable")[:SLOWEST]
    seed = seed_of(run_id)
    return [
        SlowRequest(
            number=row["number"],
            trace_id=trace_id(run_id, seed, row["number"]),
            due_s=row["due_s"],
            latency_ms=row["latency_ms"],
            service_latency_ms=row["service_latency_ms"],
            error=row["error"],
            server_ms=None,
            server_name=None,
        )
        for row in known.take(pa.array(places)).to_pylist()
    ]


def _with_server(request: SlowRequest, span: run_traces.ServerSpan | None) -> SlowRequest:
    if span is None:
        return request
    return SlowRequest(
        request.number, request.trace_id, request.due_s, request.latency_ms, request.service_latency_ms, request.error,
        server_ms=span.duration_ms, server_name=f"{span.service}: {span.name}",
    )  # fmt: skip
