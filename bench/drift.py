"""Fresh data, with and without a shift -> false alarms, power and time of Seamark's defaults beside Evidently's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import drift_speed
from bench.drift_data import CASES, FEATURES, LARGE, SHIFTED, Case, draw
from bench.report import Result
from seamark.compute import drift_window
from seamark.compute.profiles import profile_all
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window

WINDOWS = 40
BUDGET_S = 60  # of processor time for Evidently's windows: the bench stays under two minutes
FEATURES_LARGE = 20
TIMEOUT_S = 600
_WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


def run(*, quick: bool) -> Result:
    """Judge the same windows on both sides, all drawn from seeds."""
    features_large = 2 if quick else FEATURES_LARGE
    asked = {"windows": 2 if quick else WINDOWS, "features": FEATURES, "features_large": features_large}
    theirs = _evidently({**asked, "budget_s": BUDGET_S})
    windows = theirs["windows"]
    ours = {
        case.name: [
            {"shifted": shifted, "drifted": _drifted(case, seed, shifted=shifted)[0]}
            for seed in range(windows)
            for shifted in (False, True)
        ]
        for case in CASES
    }
    _, ours_s = _drifted(LARGE, 0, shifted=False, features=features_large)
    rows = [row for case in CASES for row in _compare(case, ours[case.name], theirs["decisions"][case.name])]
    for tool, taken_s in (("Seamark", ours_s), ("Evidently", theirs["large_s"])):
        rows.append(
            {
                "case": LARGE.name,
                "tool": tool,
                "false alarms": None,
                "windows alarmed": None,
                "found": None,
                "seconds": taken_s,
            }
        )
    speed = drift_speed.measure(quick=quick)
    return Result(
        "Drift: false alarms, power and time, each tool with its defaults",
        rows,
        [
            f"Each case: {windows} windows without a shift, {windows} in which {SHIFTED} of {FEATURES} columns moved.",
            "Moved: numbers by half a standard deviation; a fifth of the rows to the rarer half of the levels.",
            "false alarms: share of the columns called drifted in windows without a shift.",
            "windows alarmed: share of those windows with any such column. Seamark is set to one window in 1,000.",
            "found: share of the moved columns called drifted; it says little of a tool that alarms in every window.",
            "seconds: from columns in memory (for Evidently a DataFrame) to the decisions.",
            *speed.notes,
        ],
        {"windows": windows, "features": FEATURES, "shifted": SHIFTED, "false_alarms": DriftSpec().false_alarms},
        more=speed.tables,
        goals=speed.goals,
    )


def _drifted(case: Case, seed: int, *, shifted: bool, features: int = FEATURES) -> tuple[list[str], float]:
    reference, window = draw(case, seed, shifted=shifted, features=features)
    kinds = dict.fromkeys(reference, "categorical" if case.levels else "numeric")
    if case.levels:  # texts arrive as objects
        reference, window = (
            {name: column.astype(object) for name, column in side.items()} for side in (reference, window)
        )
    started_s = time.perf_counter()
    profiles = [profile_all(side, kinds) for side in (window, reference)]
    finding = drift_window.judge("bench", None, _WINDOW, *profiles, kinds, DriftSpec(), seed=seed)
    taken_s = time.perf_counter() - started_s
    return [feature.feature for feature in finding.features if feature.drifted], taken_s


def _evidently(asked: dict[str, int]) -> dict[str, Any]:
    root = Path(__file__).parent.parent
    paths = [str(root), str(root / "service"), os.environ.get("PYTHONPATH", "")]
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.drift_evidently", json.dumps(asked)],
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_S,
    )
    document: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return document


def _compare(case: Case, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    moved = {f"f{n}" for n in range(SHIFTED)}
    rows = []
    for tool, decisions in (("Seamark", ours), ("Evidently", theirs)):
        quiet = [set(decision["drifted"]) for decision in decisions if not decision["shifted"]]
        shifted = [set(decision["drifted"]) for decision in decisions if decision["shifted"]]
        rows.append(
            {
                "case": case.name,
                "tool": tool,
                "false alarms": sum(map(len, quiet)) / (len(quiet) * FEATURES),
                "windows alarmed": sum(map(bool, quiet)) / len(quiet),
                "found": sum(len(found & moved) for found in shifted) / (len(shifted) * SHIFTED),
                "seconds": None,
            }
        )
    return rows
