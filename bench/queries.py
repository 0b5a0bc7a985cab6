"""A lake of millions of spans -> how long the service takes to answer what people ask of it, idle and under ingest.

The lake is filled and compacted by its own append() and maintain() (bench/fill.py says how), then `seamark serve` is
started on it and asked over HTTP, one question at a time, each repetition about another hour or another trace. A first
round of each question, not counted, pays for imports and file footers. The figures are what a client waits, from the
request's first byte to the answer's last. Under ingest the same is asked while fresh spans come in at half the maximum:
`--rate` in spans per second, else half of what `bench ingest` last found here, else half of a short measurement.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from bench.bodies import make
from bench.fill import Filled, fill, kept
from bench.ingest import pilot
from bench.load import Sending, sending
from bench.payloads import MAIN, PAYLOADS
from bench.report import RESULTS, Goal, Result
from bench.running import Server, seamark
from bench.span_rows import MODELS

SPANS = (5_000_000,)
REPETITIONS = 11
GOALS_MS = {
    "quantiles per minute and route, one hour": 25.0,
    "a trace by id and time": 15.0,
    "a trace by id alone": 40.0,
    "slowest 20 failing traces by an attribute, one hour": 60.0,
}
UNDER_INGEST_MS = 120.0  # each of them
GROWTH = 2.0  # how much slower ten times the spans may be
LOAD_S = 90.0  # of bodies for the second round; it ends when the questions do
_TENANTS = ("t7", "t3", "t11", "t5")


@dataclass(frozen=True)
class Question:
    """One kind of question: `path(n)` is the n-th of its requests, `rows(answer)` how much was found."""

    what: str
    path: Callable[[int], str]
    rows: Callable[[Any], int]


def run(
    *,
    quick: bool = False,
    spans: Sequence[int] | None = None,
    rate: float | None = None,
    lakes: Path | None = None,
) -> Result:
    """Ask each question of a lake of each size in `spans` (5 million by default), kept in `lakes` or thrown away."""
    sizes = tuple(spans or ((100_000,) if quick else SPANS))
    repetitions = 3 if quick else REPETITIONS
    rows: list[dict[str, Any]] = []
    fills: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="seamark-bench-") as folder:
        for size in sizes:
            place = (lakes or Path(folder)) / str(size)
            filled = kept(place) or fill(place, size)
            fills.append(_fill_row(filled))
            rate = rate or _known_rate() or pilot(MAIN, Path(folder))
            bodies = Path(folder) / f"bodies-{size}"
            rows += _ask(place, bodies, filled, repetitions, rate / 2, 5.0 if quick else LOAD_S)
    return Result(
        "Queries: what a client waits for answers about spans",
        rows,
        [
            "p50 and max over the repetitions, each about another hour or trace; over HTTP, one at a time.",
            "under ingest: while spans come in at half the maximum rate; ingest spans/s is what was acknowledged then.",
            "found: points, spans or traces in the answers, on average.",
        ],
        {"repetitions": repetitions, "spans": list(sizes), "ingest_spans_per_s": rate / 2 if rate else None},
        {"The lakes": fills},
        _goals(rows),
    )


def _questions(filled: Filled) -> list[Question]:
    def window(start: datetime, end: datetime) -> dict[str, str]:
        return {"start": start.isoformat(), "end": end.isoformat()}

    def latency(n: int) -> str:
        model = MODELS[n % 2]  # the two busiest
        return f"/api/v1/models/{model}/latency?{urlencode({**window(*filled.hour(n)), 'step': '60s', 'by': 'route'})}"

    def trace(n: int) -> str:
        return f"/api/v1/traces/{_trace(filled, n)[0]}"

    def timed_trace(n: int) -> str:
        trace_id, at = _trace(filled, n)
        return f"/api/v1/traces/{trace_id}?{urlencode(window(at - timedelta(hours=1), at + timedelta(hours=1)))}"

    def slowest(n: int) -> str:
        asked = f'{{ status=error && span.tenant="{_TENANTS[n % len(_TENANTS)]}" }}'
        return f"/api/v1/traces?{urlencode({'q': asked, 'sort': 'slowest', 'limit': 20, **window(*filled.hour(n))})}"

    asks = (latency, timed_trace, trace, slowest)
    counts = (len, len, len, _traces_in)
    return [Question(*one) for one in zip(GOALS_MS, asks, counts, strict=True)]


def _trace(filled: Filled, n: int) -> tuple[str, datetime]:
    """Return another trace for each n, spread over the lake."""
    return filled.traces[(n * 37 + 11) % len(filled.traces)]


def _traces_in(answer: Any) -> int:
    return len(answer["traces"] if isinstance(answer, dict) else answer)


def _ask(
    place: Path, folder: Path, filled: Filled, repetitions: int, rate: float, load_s: float
) -> list[dict[str, Any]]:
    payload = PAYLOADS[MAIN]
    rate_rps = rate / payload.rows
    bodies = make(MAIN, int(rate_rps * load_s) + 1, folder, per_s=rate_rps)
    rows: list[dict[str, Any]] = []
    with seamark(place) as server:
        questions = [question for question in _questions(filled) if _answered(server, question, filled)]
        for question in questions:
            rows.append({"spans": filled.spans, "asked": question.what, "beside": "nothing"})
            rows[-1] |= _timed(server, question, range(1, repetitions + 1), None)
        with sending(server, bodies, rate_rps=rate_rps, seconds=load_s) as run:
            time.sleep(min(5.0, load_s / 4))
            for question in questions:
                rows.append({"spans": filled.spans, "asked": question.what, "beside": "ingest"})
                rows[-1] |= _timed(server, question, range(repetitions + 1, 2 * repetitions + 1), run)
        taken = run.load(0.0)
    return [row | {"ingest spans/s": round(taken.rows_per_s) if row["beside"] == "ingest" else None} for row in rows]


def _answered(server: Server, question: Question, filled: Filled) -> bool:
    """Ask once, before it counts. False where the service does not know the question yet: it takes nonsense too."""
    if "q=" in question.path(0):
        nonsense = f"/api/v1/traces?q={quote('{ nonsense')}"
        if _get(server, nonsense)[0] == 200:
            print(f"not asked: {question.what} (the service does not read q)", flush=True)
            return False
    status, answer = _get(server, question.path(0))
    if status != 200:
        raise RuntimeError(f"{question.path(0)}: {status} {answer[:300]!r}")
    return True


def _timed(server: Server, question: Question, numbers: range, run: Sending | None) -> dict[str, Any]:
    """Return the figures of these repetitions; those after the load has ended do not count."""
    taken_ms, found = [], []
    for n in numbers:
        path = question.path(n)
        started_s = time.perf_counter()
        status, answer = _get(server, path)
        if run is not None and not run.under_way:
            break
        taken_ms.append((time.perf_counter() - started_s) * 1e3)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer[:300]!r}")
        found.append(question.rows(json.loads(answer)))
    if not any(found):
        raise RuntimeError(f"{question.what}: nothing was found in {len(found)} answers")
    return {
        "p50_ms": float(np.median(taken_ms)),
        "max_ms": float(max(taken_ms)),
        "n": len(taken_ms),
        "found": float(np.mean(found)),
    }


def _get(server: Server, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _known_rate() -> float | None:
    """Return the maximum `bench ingest` found on this machine, None if it was not run in earnest."""
    try:
        found = json.loads((RESULTS / "ingest.json").read_text())
    except (OSError, ValueError):
        return None
    best: Mapping[str, float] = found.get("settings", {}).get("best", {})
    return None if found.get("quick") else best.get(MAIN)


def _fill_row(filled: Filled) -> dict[str, Any]:
    return {
        "spans": filled.spans,
        "fill_s": filled.fill_s,
        "compact_s": filled.compact_s,
        "files": filled.files,
        "bytes per span": filled.bytes_per_span,
    }


def _goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    goals: list[Goal] = []
    measured = {(row["spans"], row["asked"], row["beside"]): row for row in rows}
    asked_of = sorted({row["spans"] for row in rows})
    for question, reach_ms in GOALS_MS.items():
        for size in asked_of:
            for beside, reach in (("nothing", reach_ms), ("ingest", UNDER_INGEST_MS)):
                row = measured.get((size, question, beside))
                if size != asked_of[0] and beside == "nothing":
                    goals.append(_growth(question, measured, asked_of[0], size))
                    continue
                state = "" if beside == "nothing" else ", under ingest at 50 %"
                how = f"median of {row['n']} over HTTP" if row else "not measured: the service does not read q"
                value = row["p50_ms"] if row else None
                goals.append(Goal(f"{question}{state}, {size:,} spans, ms", reach, value, how))
    return goals


def _growth(what: str, measured: Mapping[tuple[int, str, str], Mapping[str, Any]], small: int, large: int) -> Goal:
    before, after = (measured.get((size, what, "nothing")) for size in (small, large))
    ratio = after["p50_ms"] / before["p50_ms"] if before and after else None
    return Goal(f"{what}, {large:,} spans", GROWTH, ratio, f"times the median of {small:,} spans")
