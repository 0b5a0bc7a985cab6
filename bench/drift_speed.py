"""A lake of predictions -> how fast drift findings come out of it, in how much memory, beside Evidently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.drift_rows import CATEGORICAL, NUMERIC
from bench.report import Goal, Result

ROWS = 1_000_000
MODELS, HOUR_ROWS, HOUR_REFERENCE_ROWS = 100, 1_000, 10_000
TIMEOUT_S = 1200


@dataclass(frozen=True)
class Speed:
    """Tables by title, goals and notes, for the bench that asked."""

    tables: Mapping[str, list[dict[str, Any]]]
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(*, quick: bool) -> Result:
    """Measure, and return the tables and goals."""
    speed = measure(quick=quick)
    (_, window), *more = speed.tables.items()
    return Result(
        "Drift: speed and memory, from the lake to findings", window, speed.notes, {}, dict(more), speed.goals
    )


def measure(*, quick: bool) -> Speed:
    """Fill both lakes, then measure each thing in a fresh process, one after the other."""
    rows = 20_000 if quick else ROWS
    models = [f"model-{number}" for number in range(3 if quick else MODELS)]
    large = {"models": ["large"], "rows": rows, "hours": 1, "numeric": NUMERIC, "categorical": CATEGORICAL}
    hourly = {"models": models, "rows": HOUR_ROWS, "hours": 2, "numeric": 30, "categorical": 20}
    with tempfile.TemporaryDirectory(prefix="seamark-bench-") as folder:
        filled = _child("bench.drift_lake", "fill", f"{folder}/large", {**large, "reference_rows": rows})
        ours = _timed("bench.drift_lake", "window", f"{folder}/large", {"repeats": 1 if quick else 3})
        theirs = _timed("bench.drift_speed_evidently", str(rows), str(rows))
        _child("bench.drift_lake", "fill", f"{folder}/hourly", {**hourly, "reference_rows": HOUR_REFERENCE_ROWS})
        spent = _timed("bench.drift_lake", "hours", f"{folder}/hourly", {"models": models, "ticks": 1 if quick else 3})
    size = f"{rows:,} rows x {NUMERIC} numbers and {CATEGORICAL} texts against {rows:,}"
    core_percent = 100 * spent["tick_cpu_s"] / spent["every_s"]
    window = [
        _row("Seamark, lake to findings", ours["s"], ours["cpu_s"], ours["above_base_mb"], ours["load_1m"]),
        _row("Seamark, its first time: the reference too", ours["first_s"], ours["first_cpu_s"], None, ours["load_1m"]),
        _row("Evidently, DataFrames to decisions", theirs["s"], None, theirs["above_base_mb"], theirs["load_1m"]),
    ]
    fleet = {
        "models": len(models),
        "features": 50,
        "rows an hour": HOUR_ROWS,
        "every s": spent["every_s"],
        "CPU s a round": spent["tick_cpu_s"],
        "% of a core": core_percent,
        "load": spent["load_1m"],
    }
    load = f"load {ours['load_1m']:.1f}"
    return Speed(
        {f"One window, {size}": window, "Many models, windows of an hour": [fleet]},
        [
            Goal("drift: lake to findings, s", 2.0, ours["s"], f"{size}; {load}"),
            Goal("drift: memory above base, MB", 500.0, ours["above_base_mb"], "the same, its reference included"),
            Goal("drift: times Evidently's speed", 30.0, theirs["s"] / ours["s"], "the same rows", at_least=True),
            Goal(
                "drift: % of a core for 100 models x 50 features",
                2.0,
                core_percent if len(models) == MODELS else None,
                f"windows of an hour, {HOUR_ROWS:,} rows each, every {spent['every_s']:.0f} s"
                if len(models) == MODELS
                else "not measured in a quick run",
            ),
        ],
        [
            f"The large window's lake: {filled['files']} files, {filled['lake_mb']:.0f} MB, as the service left it.",
            "Seamark's time is the median of three; its first time the reference is read, sorted and counted as well.",
            "Evidently: DataDriftPreset with its defaults; its DataFrames are in memory before the clock starts.",
            "memory: resident at most above what the process held before; load: of the machine when it was measured.",
            "Many models: all are evaluated as by the service's tick, findings stored; the references are known.",
        ],
    )


def _row(tool: str, seconds: float, cpu_s: float | None, above_base_mb: float | None, load: float) -> dict[str, Any]:
    return {"tool": tool, "seconds": seconds, "CPU s": cpu_s, "MB above base": above_base_mb, "load": load}


def _timed(*command: Any) -> dict[str, Any]:
    return {**_child(*command), "load_1m": os.getloadavg()[0]}


def _child(module: str, *arguments: Any) -> dict[str, Any]:
    root = Path(__file__).parent.parent
    paths = [str(root), str(root / "service"), os.environ.get("PYTHONPATH", "")]
    told = [argument if isinstance(argument, str) else json.dumps(argument) for argument in arguments]
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *told],
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_S,
    )
    document: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return document
