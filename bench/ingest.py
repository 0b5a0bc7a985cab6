"""A running `seamark serve` on an empty folder -> durable rows per second, what they cost and how late answers come.

What the figures are:

* durable rows/s: rows of requests answered 200 within a steady window, after a warm-up. Afterwards the service is
  stopped and its lake counted: every acknowledged row must be there, once, or the bench fails.
* CPU s per 1M: processor seconds of the service alone. The sender (bench/sender.py) has a process of its own on the
  same cores; its cost is given too.
* share of the ceiling: rows per CPU second of the service, divided by those of the same bodies when they are only
  unpacked and decoded by the service's own functions in a fresh process. What is missing to 1 is HTTP, commit and disk.
* at 50 %: half the maximum just measured, each request due at its own instant; latencies count from that instant.
* memory: resident, every half second, with what child processes have to themselves; the slope is a straight line
  through the second half.
* bytes per span: all data files after the lake's own maintain() found nothing left to do, once the service stopped.

Bodies are made beforehand (bench/bodies.py) and sent once: each span has ids, times and values of its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import peers as neighbours
from bench.bodies import Bodies, make
from bench.ceiling import rows_per_cpu_s
from bench.lake_state import bytes_per_row, compact, count, opened
from bench.load import Load, send
from bench.payloads import MAIN, PAYLOADS
from bench.report import Goal, Result
from bench.running import Server, seamark

CONNECTIONS = (16, 64)  # the better of the two is the maximum
PILOT_WARM, PILOT_ROWS, PILOT_S = 2, 40_000, 6.0
SPARE = 1.6  # more bodies than the pilot's rate asks for: it is slower than a warm service
_WARM_REQUESTS = 8


class _Times:
    """How long each part takes."""

    def __init__(self, *, quick: bool, minutes: float | None) -> None:
        self.connections = CONNECTIONS[-1:] if quick else CONNECTIONS
        self.warm_s, self.window_s = (0.5, 1.5) if quick else (4.0, 15.0)
        self.steady_warm_s = 0.5 if quick else 5.0
        self.steady_s = 60 * minutes if minutes is not None else (2.0 if quick else 60.0)
        self.ceiling_s = 0.5 if quick else 5.0


def run(
    *, quick: bool = False, peers: bool = False, minutes: float | None = None, only: Iterable[str] | None = None
) -> Result:
    """Measure every kind of payload in `only` (all by default), each against services of its own.

    `minutes` is how long the run at half the maximum takes; `peers` measures the neighbours too.
    """
    times = _Times(quick=quick, minutes=minutes)
    kinds = [kind for kind in PAYLOADS if not only or kind in only]
    rows: list[dict[str, Any]] = []
    goals: list[Goal] = []
    steady: list[dict[str, Any]] = []
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="seamark-bench-") as folder:
        for kind in kinds:
            print(f"measuring {PAYLOADS[kind].title}", file=sys.stderr, flush=True)
            found, rate = _maximum(kind, Path(folder), times)
            rows += found
            best[kind] = max(row["rows/s"] for row in found)
            share = max(row["of ceiling"] for row in found)
            goals += _maximum_goals(kind, best[kind], share)
            if kind == MAIN:
                figures = _steady(Path(folder), rate / 2, times)
                steady.append(figures)
                goals += _steady_goals(figures)
        beside = neighbours.measure(Path(folder), quick=quick) if peers and MAIN in kinds else []
    goals += _peer_goals(best.get(MAIN), beside, asked=peers)
    more = {f"At half the maximum, {PAYLOADS[MAIN].title}": steady, "Neighbours, the same protobuf bodies": beside}
    return Result(
        "Ingest: durable rows per second and what they cost",
        rows,
        [
            "rows/s: acknowledged with 200 within the window; all of them were counted in the lake afterwards, once.",
            "CPU s per 1M: of the service alone; the sender runs beside it on the same cores.",
            "of ceiling: rows per CPU second, as a share of what unpacking and decoding the same bodies alone reaches.",
        ],
        {"warm_s": times.warm_s, "window_s": times.window_s, "steady_s": times.steady_s, "best": best},
        {title: table for title, table in more.items() if table},
        goals,
    )


def _maximum(kind: str, folder: Path, times: _Times) -> tuple[list[dict[str, Any]], float]:
    """Return a row for each number of connections, and the highest rate in requests per second."""
    payload = PAYLOADS[kind]
    guess = pilot(kind, folder)
    needed = guess / payload.rows * (times.warm_s + times.window_s) * SPARE
    rows, rates = [], []
    for connections in times.connections if kind == MAIN else CONNECTIONS[-1:]:
        bodies = make(kind, max(4 * connections, int(needed)), folder / f"{kind}-{connections}-bodies")
        place = folder / f"{kind}-{connections}"
        with seamark(place) as server:
            load = send(
                server,
                bodies,
                connections=connections,
                warm_s=min(times.warm_s, bodies.rows / guess / 4),
                window_s=times.window_s,
            )
            counted = server.counted(payload.signal)
        stored = _checked(place, payload.table, load.acknowledged * payload.rows)
        ceiling = rows_per_cpu_s(bodies, times.ceiling_s)
        rates.append(load.rows_per_s / payload.rows)
        needed = max(needed, rates[-1] * (times.warm_s + times.window_s) * SPARE)
        rows.append(_row(kind, connections, load, bodies, ceiling) | {"counted": counted, "stored": stored})
        _forget(bodies, place)
    return rows, max(rates)


def pilot(kind: str, folder: Path) -> float:
    """Return roughly how many rows a second a service that has just started takes."""
    count = PILOT_WARM + max(8, PILOT_ROWS // PAYLOADS[kind].rows)
    bodies = make(kind, count, folder / f"{kind}-pilot")
    with seamark(folder / f"{kind}-try") as server:
        send(server, bodies, count=PILOT_WARM, connections=2, warm_s=0.0, window_s=60.0)  # ends with its bodies
        load = send(server, bodies, first=PILOT_WARM, connections=4, warm_s=0.0, window_s=PILOT_S)
    return load.acknowledged * PAYLOADS[kind].rows / load.took_s


def _row(kind: str, connections: int, load: Load, bodies: Bodies, ceiling: float) -> dict[str, Any]:
    return {
        "payload": PAYLOADS[kind].title,
        "rows a request": PAYLOADS[kind].rows,
        "connections": connections,
        "rows/s": round(load.rows_per_s),
        **load.latencies,
        "503s": load.refused,
        "CPU s per 1M": load.cpu_s / (load.rows_per_s * load.window_s) * 1e6,
        "cores": load.cpu_s / load.window_s,
        "of ceiling": load.rows_per_s * load.window_s / load.cpu_s / ceiling,
        "ceiling rows/CPU s": round(ceiling),
        "sender cores": load.sender_cpu_s / load.window_s,
        "window_s": load.window_s,
        **bodies.sizes(),
    }


def _steady(folder: Path, rate_rps: float, times: _Times) -> dict[str, Any]:
    """Return the figures of a service that takes `rate_rps` requests a second, and of its lake afterwards."""
    payload = PAYLOADS[MAIN]
    seconds = times.steady_warm_s + times.steady_s
    bodies = make(MAIN, _WARM_REQUESTS + int(rate_rps * seconds) + 1, folder / "steady-bodies", per_s=rate_rps)
    place = folder / "steady"
    with seamark(place) as server:
        warm = send(server, bodies, count=_WARM_REQUESTS, connections=2, warm_s=0.0, window_s=30.0)
        load = send(
            server,
            bodies,
            first=_WARM_REQUESTS,
            rate_rps=rate_rps,
            warm_s=times.steady_warm_s,
            window_s=times.steady_s,
        )
        memory = _memory(server, load)
    print(f"at half the maximum: {memory}, {load.latencies}; counting its rows", file=sys.stderr, flush=True)
    stored = _checked(place, payload.table, (warm.acknowledged + load.acknowledged) * payload.rows)
    with opened(place) as lake:
        before = bytes_per_row(lake, place, payload.table)
        calls = compact(lake)
        after, files = bytes_per_row(lake, place, payload.table), lake.health().files
    _forget(bodies, place)
    return {
        "asked rows/s": round(rate_rps * payload.rows),
        "rows/s": round(load.rows_per_s),
        **load.latencies,
        "503s": load.refused,
        **memory,
        "stored": stored,
        "B/span": after,
        "B/span before": before,
        "files": files,
        "maintain() calls": calls,
    }


def _memory(server: Server, load: Load) -> dict[str, float | None]:
    minutes, held_mb = server.resident_mb(load.start_s, load.end_s)
    half = len(minutes) // 2
    slope = float(np.polyfit(minutes[half:], held_mb[half:], 1)[0]) if len(minutes) - half >= 2 else None
    return {"minutes": minutes[-1], "memory MB max": max(held_mb), "MB/min, 2nd half": slope}


def _checked(place: Path, table: str, acknowledged: int) -> int:
    """Return the rows in the lake; RuntimeError where one was acknowledged and is not there, or is there twice."""
    with opened(place) as lake:
        stored, different = count(lake, table)
    if different < acknowledged or stored != different:
        raise RuntimeError(f"{acknowledged} rows of {table} were acknowledged; {stored} are stored, {different} differ")
    return stored


def _forget(bodies: Bodies, place: Path) -> None:
    """Give the disk back: long runs hold gigabytes."""
    for folder in (bodies.folder, place):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def _maximum_goals(kind: str, rows_per_s: float, share: float) -> list[Goal]:
    payload = PAYLOADS[kind]
    how = f"{payload.title}, {payload.rows:,} {payload.unit} a request, closed loop, sender on the same cores"
    goals = [Goal(f"durable {payload.unit}/s, {payload.title}", payload.reach, rows_per_s, how, at_least=True)]
    if kind == MAIN:
        how = "rows per CPU second of the service, by those of decoding the same bodies alone"
        goals.append(Goal("share of the decode-only ceiling", 0.45, share, how, at_least=True))
    return goals


def _steady_goals(figures: Mapping[str, Any]) -> list[Goal]:
    how = f"open loop at {figures['asked rows/s']:,} spans/s for {figures['minutes']:.2g} minutes"
    flat = f"{how}; slope over the second half"
    return [
        Goal("POST p99 at 50 %, ms", 150, figures["p99_ms"], f"{how}, from the instant due"),
        Goal("memory at 50 %, MB", 700, figures["memory MB max"], f"{how}; resident, maximum"),
        Goal("memory at 50 %, MB/min", 1, figures["MB/min, 2nd half"], flat),
        Goal("bytes on disk per span", 60, figures["B/span"], "maintain() until nothing is left, the service stopped"),
    ]


def _peer_goals(best: float | None, beside: Iterable[Mapping[str, Any]], *, asked: bool) -> list[Goal]:
    stored = {row["tool"]: row for row in beside}
    goals = []
    for tool, reach in neighbours.REACH.items():
        row = stored.get(tool)
        rate = row["stored/s"] if row else None
        ratio = best / rate if best and rate else None
        how = row["note"] if row else ("not measured" if asked else "not measured: give --peers")
        goals.append(Goal(f"durable spans/s, times {tool} stored/s", reach, ratio, how, at_least=True))
    return goals
