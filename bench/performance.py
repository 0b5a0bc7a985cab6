"""Data sets with their labels hidden -> how far off Seamark's and NannyML's estimates are, and how long they take.

NannyML is installed by pip into an environment of its own under .build/bench-peers/, which also brings its data sets;
both tools get the same files, each in a process of its own, and give an estimate for each chunk of the watched rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from bench.peers import install
from bench.performance_data import LABEL, PREDICTION, Case, bicycles, bundled
from bench.report import Goal, Result
from bench.running import ROOT

REQUIREMENTS = ("nannyml==0.13.1", "statsmodels", "pandas<3")  # the others it needs and does not ask for
TOOLS = ("Seamark", "NannyML")
RUNS = 2  # of each tool and case; the fastest counts
TIMEOUT_S = 900


def run(*, quick: bool, data: Path | None) -> Result:
    """Measure each case on both sides; without the peer, or a file, say so and measure what is left."""
    cases: list[Case] = []
    python: Path | None = None
    try:
        python = install("nannyml", REQUIREMENTS) / "python"
        place = next((python.parent.parent / "lib").glob("python*/site-packages/nannyml/datasets/data"))
        cases += bundled(place, quick=quick)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        print(f"NannyML and its data sets are left out: {str(error)[-600:]}", flush=True)
    if data is not None:
        cases.append(bicycles(data))
    if not cases:
        raise SystemExit("there is nothing to measure: NannyML cannot be had, and --data names no file")
    rows, details, goals = [], [], []
    for case in cases:
        found = {"Seamark": _estimates(case, sys.executable, "performance_seamark.py", quick=quick)}
        if python is not None:
            found["NannyML"] = _estimates(case, str(python), "performance_nannyml.py", quick=quick)
        truth = _truth(case)
        details += [row for tool in found for row in _details(case, tool, found[tool], truth)]
        rows += [_row(case, tool, found[tool], truth) for tool in found]
        if len(found) == len(TOOLS):
            goals += _goals(case, found, truth)
    return Result(
        "Performance without labels: estimates beside the later truth",
        rows,
        [
            "Off: mean absolute error of the estimate against the figure that the labels show, over the chunks.",
            "held: share of Seamark's 95 % intervals that hold the labels' figure, over metrics and chunks.",
            f"s and CPU s: from rows in memory to the last estimate, fitting included; the faster of {RUNS} runs.",
            "Truths are scikit-learn's. Both tools with their defaults, the same chunks, the same model.",
            "The settings of Seamark's trees (40 of depth 6, rate 0.2) were chosen on the two regressions.",
            "Bicycles: rents grew in a way that no input tells (concept drift): without labels that cannot be seen.",
        ],
        {"runs": RUNS, "requirements": list(REQUIREMENTS)},
        {"By metric": details},
        goals,
    )


def _estimates(case: Case, python: str, worker: str, *, quick: bool) -> dict[str, Any]:
    """Return what a worker estimated, of the run that took the shortest time."""
    paths = [] if worker == "performance_nannyml.py" else [str(ROOT), str(ROOT / "service")]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "DO_NOT_TRACK": "1"}
    own.pop("VIRTUAL_ENV", None)
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-performance-") as folder:
        case.write(Path(folder))
        (Path(folder) / "job.json").write_text(json.dumps(case.document()))
        for _ in range(1 if quick else RUNS):
            started_s = time.perf_counter()
            answer = subprocess.run(
                [python, "-W", "ignore", str(ROOT / "bench" / worker), folder],
                env=own,
                stdout=subprocess.PIPE,
                check=True,
                timeout=TIMEOUT_S,
            )
            told = json.loads(answer.stdout.decode().strip().splitlines()[-1])
            found.append({**told, "process_s": time.perf_counter() - started_s})
    return min(found, key=lambda one: one["wall_s"])  # type: ignore[no-any-return]


def _truth(case: Case) -> dict[str, list[float]]:
    """Return what the labels say of each chunk."""
    chunks = [
        case.watched.iloc[number * case.chunk_rows : (number + 1) * case.chunk_rows] for number in range(case.chunks)
    ]
    return {name: [_figure(name, case, chunk) for chunk in chunks] for name in case.metrics}


def _figure(name: str, case: Case, chunk: pd.DataFrame) -> float:
    true, predicted = chunk[LABEL], chunk[PREDICTION]
    if name == "mae":
        return float(metrics.mean_absolute_error(true, predicted))
    if name == "rmse":
        return float(metrics.root_mean_squared_error(true, predicted))
    if name == "accuracy":
        return float(metrics.accuracy_score(true, predicted))
    if name == "roc_auc":
        if len(case.scores) == 1:
            return float(metrics.roc_auc_score(true, chunk[next(iter(case.scores.values()))]))
        classes = sorted(case.scores)
        scores = chunk[[case.scores[one] for one in classes]].to_numpy()
        scores = scores / scores.sum(axis=1, keepdims=True)
        return float(metrics.roc_auc_score(true, scores, multi_class="ovr", labels=classes))
    score = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}[name]
    return float(score(true, predicted, average="binary" if len(case.scores) == 1 else "macro"))


def _off(found: Mapping[str, Any], truth: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.abs(np.array(found["estimates"][name]) - np.array(truth[name])).mean()) for name in truth}


def _details(
    case: Case, tool: str, found: Mapping[str, Any], truth: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    off = _off(found, truth)
    return [
        {
            "case": case.name,
            "tool": tool,
            "metric": name,
            "truth, mean": float(np.mean(truth[name])),
            "estimate, mean": float(np.mean(found["estimates"][name])),
            "mean absolute error": round(off[name], 5),
        }
        for name in truth
    ]


def _row(case: Case, tool: str, found: Mapping[str, Any], truth: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    held = [
        low <= value <= high
        for name, each in found.get("intervals", {}).items()
        for (low, high), value in zip(each, truth[name], strict=True)
    ]
    return {
        "case": case.name,
        "tool": tool,
        "reference rows": len(case.reference),
        "chunks": case.chunks,
        "rows a chunk": case.chunk_rows,
        "mean absolute error, mean of metrics": round(float(np.mean(list(_off(found, truth).values()))), 5),
        "held": float(np.mean(held)) if held else None,
        "s": found["wall_s"],
        "CPU s": found["cpu_s"],
        "whole process, s": found["process_s"],
    }


def _goals(case: Case, found: Mapping[str, Mapping[str, Any]], truth: Mapping[str, Sequence[float]]) -> list[Goal]:
    ours, theirs = (_off(found[tool], truth) for tool in TOOLS)
    worst = max(truth, key=lambda name: ours[name] / theirs[name])
    mean = float(np.mean([ours[name] / theirs[name] for name in truth]))
    told = ", ".join(f"{name} {ours[name]:.4g} to {theirs[name]:.4g}" for name in truth)
    seconds = [found[tool]["wall_s"] for tool in TOOLS]
    return [
        Goal(f"{case.name}: off, times NannyML", 1.0, mean, f"mean over metrics; mean absolute errors: {told}"),
        Goal(
            f"{case.name}: off, times NannyML, worst metric",
            1.0,
            ours[worst] / theirs[worst],
            f"{worst}, over {case.chunks} chunks",
        ),
        Goal(
            f"{case.name}: time, share of NannyML's",
            0.1,
            seconds[0] / seconds[1],
            f"{seconds[0]:.3g} s to {seconds[1]:.3g} s; CPU {found['Seamark']['cpu_s']:.3g} s to"
            f" {found['NannyML']['cpu_s']:.3g} s",
        ),
    ]
