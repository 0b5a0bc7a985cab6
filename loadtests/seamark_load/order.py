"""The work folder -> what this run shall send, how fast, to whom and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamark.compute.answer_match import TOLERANCE
from seamark.core.thresholds import Threshold, parse_threshold

ORDER = "order.json"
PAYLOADS = "payloads.jsonl"
ANSWERS = "answers.jsonl"
SAMPLES = "samples.bin"


def is_here(work_dir: Path) -> bool:
    """Whether the order lies in `work_dir`; a worker on another machine is sent it."""
    return (work_dir / ORDER).exists()


def files_of(work_dir: Path) -> dict[str, bytes]:
    """Return what a worker on another machine needs of `work_dir`, by name."""
    return {path.name: path.read_bytes() for path in work_dir.iterdir() if path.is_file() and path.name != SAMPLES}


@dataclass(frozen=True)
class Order:
    """A run as the service ordered it.

    `payloads` are request bodies; `answers` the recorded answer of each, None where there is none (empty: of none);
    `answer` where in an answer the prediction stands (None: the usual places).
    """

    run_id: str
    plan: str
    version: str
    target: str
    allow: tuple[str, ...]
    addresses: Mapping[str, Sequence[str]]  # of the allowed hosts, as the run started
    max_rps: float | None  # of the target, for this process
    scenario: str
    shape: str
    shape_params: Mapping[str, Any]
    thresholds: tuple[Threshold, ...]
    abort: tuple[Threshold, ...]
    seed: int
    timeout_s: float
    in_flight_max: int
    workers: int
    join_s: float
    payloads: Sequence[bytes]
    samples: Path
    answers: Sequence[Any] = ()
    answer: str | None = None
    answer_tolerance: float = TOLERANCE


def read_order(work_dir: Path) -> Order:
    """Return the order that lies in `work_dir`; the service wrote it, so a mistake in it is a bug, not input."""
    document = json.loads((work_dir / ORDER).read_text(encoding="utf-8"))
    payloads = [row for row in (work_dir / PAYLOADS).read_bytes().split(b"\n") if row]
    recorded = work_dir / ANSWERS
    lines = recorded.read_bytes().split(b"\n") if recorded.exists() else []
    return Order(
        run_id=document["run_id"],
        plan=document["plan"],
        version=document["version"],
        target=document["target"],
        allow=tuple(document["allow"]),
        addresses=document["addresses"],
        max_rps=document["max_rps"],
        scenario=document["scenario"],
        shape=document["shape"],
        shape_params=document["shape_params"],
        thresholds=tuple(parse_threshold(text) for text in document["thresholds"]),
        abort=tuple(parse_threshold(text, with_hold=True) for text in document["abort"]),
        seed=document["seed"],
        timeout_s=document["timeout_s"],
        in_flight_max=document["in_flight_max"],
        workers=document["workers"],
        join_s=document["join_s"],
        payloads=payloads,
        samples=work_dir / SAMPLES,
        answers=[json.loads(line) for line in lines],
        answer=document["answer"],
        answer_tolerance=document["answer_tolerance"],
    )
