"""What the service asks of the load generator, and what it gets back."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from seamark import __version__
from seamark.compute.token_notes import TokenNotes
from seamark.core.errors import Invalid
from seamark.core.specs import LoadTestPlan
from seamark.wire.checks import origin_of
from seamark.wire.load_bodies import BODIES
from seamark.wire.values import RowRefused

# The scenarios that the generator knows (loadtests/seamark_load/scenarios); a test holds both lists together.
SCENARIOS = frozenset(BODIES)

IN_FLIGHT_MAX = 2_000
JOIN_S = 60.0  # how long workers may take to be there
JOIN_REMOTE_S = 600.0  # a cluster may have to fetch an image first
PAYLOAD_BYTES_MAX = 1024 * 1024  # of one row
PAYLOADS_BYTES_MAX = 64 * 1024 * 1024  # of all rows: the generator holds them in memory


@dataclass(frozen=True)
class LoadOrder:
    """One run to be made: what to send, to whom it may go, and the seed that makes the arrivals repeatable.

    `addresses` of the allowed hosts are found as the run starts where they are None. `caps` holds requests/s by
    origin that this run must not go beyond, all its processes together. `loadtests_dir` holds the user's own
    locustfiles, to which the folders in `closed` (the service's data) are shut.
    """

    run_id: str
    plan: LoadTestPlan
    payloads: Sequence[Mapping[str, Any]]
    allow: tuple[str, ...]
    seed: int
    in_flight_max: int = IN_FLIGHT_MAX
    addresses: Mapping[str, Sequence[str]] | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    loadtests_dir: Path | None = None
    closed: tuple[Path, ...] = ()
    bind: tuple[str, int] = ("127.0.0.1", 0)  # where a master listens for workers of other machines
    token: str = field(default_factory=lambda: secrets.token_hex(16))  # by which workers are known to be of this run
    answers: Sequence[Any] = ()  # the recorded one of each payload, None where there is none; empty: of none


@dataclass(frozen=True)
class Progress:
    """The run so far, and the latencies of its last second (None: nothing ended in it).

    `t_s` counts from the run's first instant. `failed` includes `not_sent`: requests given up because too many were in
    flight or the generator fell behind.
    """

    t_s: float
    segment: int
    asked_rps: float
    sent: int
    done: int
    failed: int
    in_flight: int
    not_sent: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    lateness_p99_ms: float | None = None
    cpu_ratio: float | None = None  # of a core, by the generator, in that second


@dataclass(frozen=True)
class SegmentRun:
    """A segment as it was run; `start_s` counts from the run's first instant."""

    index: int
    asked_rps: float
    start_s: float
    duration_s: float
    ran_s: float | None = None  # less than `duration_s` where the run was stopped in it; None: all of it


@dataclass(frozen=True)
class LastLine:
    """The generator's last line, checked: a locustfile of somebody's own lives in the process that writes it."""

    segments: tuple[SegmentRun, ...] = ()
    generator_cpu_ratio: float | None = None
    generator_saturated: bool = False
    aborted: str | None = None
    unreachable: str | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    tokens: dict[str, Any] | None = None  # compute/token_notes.py


@dataclass(frozen=True)
class RunnerOutcome:
    """How the generator ended. `samples` has core.records.LOAD_SAMPLES' columns and holds whatever was measured.

    `aborted` (somebody or an abort condition stopped it), `unreachable` (no connection could be made) and `error` (the
    generator itself failed) are sentences, or None where it was not so. `skipped_payloads` counts rows that no JSON
    body could be made of, or that were over the size limits. `notes` are sentences that change no verdict.
    """

    samples: pa.Table
    segments: tuple[SegmentRun, ...] = ()
    generator_cpu_ratio: float | None = None
    generator_saturated: bool = False
    aborted: str | None = None
    unreachable: str | None = None
    error: str | None = None
    skipped_payloads: int = 0
    tokens: TokenNotes | None = None  # None: no answer told of any
    notes: tuple[str, ...] = ()


def write_order(order: LoadOrder, work_dir: Path) -> int:
    """Write the order into `work_dir` for the generator; return how many payload rows were left out.

    Raises Invalid where no row is left, or the plan names a scenario the generator does not know.
    """
    plan = order.plan
    if plan.scenario not in SCENARIOS:
        raise Invalid(f"{plan.scenario!r} is not a scenario; known are {', '.join(sorted(SCENARIOS))}")
    bodies, answers, refused = _bodies(order)
    skipped = len(order.payloads) - len(bodies)
    if not bodies:
        told = f"({skipped} were left out{': ' + refused if refused else ''})"
        raise Invalid(f"load test {plan.name!r} has no payload row that can be sent as {plan.scenario} {told}")
    document = {
        "run_id": order.run_id,
        "plan": plan.name,
        "version": __version__,
        "target": plan.target,
        "allow": list(order.allow),
        "addresses": {host: list(found) for host, found in (order.addresses or {}).items()},
        "max_rps": order.caps.get(origin_of(plan.target)),
        "scenario": plan.scenario,
        "shape": plan.shape.kind,
        "shape_params": dict(plan.shape.params),
        "thresholds": [str(threshold) for threshold in plan.thresholds],
        "abort": [str(threshold) for threshold in plan.abort],
        "seed": order.seed,
        "timeout_s": plan.timeout_s,
        "in_flight_max": order.in_flight_max,
        "workers": plan.remote_workers or plan.workers,
        "join_s": JOIN_REMOTE_S if plan.remote_workers else JOIN_S,
        "answer": plan.answer,
        "answer_tolerance": plan.answer_tolerance,
    }
    if any(answer is not None for answer in answers):
        (work_dir / "answers.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, answers)))
    (work_dir / "payloads.jsonl").write_bytes(b"\n".join(bodies))
    (work_dir / "order.json").write_text(json.dumps(document, default=str), encoding="utf-8")
    return skipped


def _bodies(order: LoadOrder) -> tuple[list[bytes], list[Any], str]:
    """Return what can be sent, its recorded answers, and why the first row that cannot was left out."""
    body_of, model = BODIES[order.plan.scenario], order.plan.model
    recorded = order.answers or [None] * len(order.payloads)
    bodies: list[bytes] = []
    answers: list[Any] = []
    total, why = 0, ""
    for row, answer in zip(order.payloads, recorded, strict=True):
        try:
            body = body_of(row, model)
        except RowRefused as refused:
            why = why or str(refused)
            continue
        if len(body) > PAYLOAD_BYTES_MAX or total + len(body) > PAYLOADS_BYTES_MAX:
            why = why or f"it is larger than {PAYLOAD_BYTES_MAX // 1024} KiB, or all rows are too large together"
            continue
        total += len(body)
        bodies.append(body)
        answers.append(answer)
    return bodies, answers, why
