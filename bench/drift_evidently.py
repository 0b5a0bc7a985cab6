"""Run in a process of its own: Evidently's default preset over the cases, its decisions as JSON on stdout.

Its import takes seconds and hundreds of megabytes, which the other side of the table must not pay.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently phones home otherwise

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from bench.drift_data import CASES, LARGE, Case, draw


def drifted(case: Case, seed: int, *, shifted: bool, features: int) -> tuple[list[str], float]:
    """Return the columns Evidently calls drifted, and the seconds from DataFrames to its answer."""
    reference, window = draw(case, seed, shifted=shifted, features=features)
    names = list(reference)
    definition = DataDefinition(categorical_columns=names) if case.levels else DataDefinition(numerical_columns=names)
    frames = pd.DataFrame(window), pd.DataFrame(reference)
    started_s = time.perf_counter()
    current, before = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    document: dict[str, Any] = Report([DataDriftPreset()], include_tests=True).run(current, before).dict()
    taken_s = time.perf_counter() - started_s
    failed = [test for test in document["tests"] if test["status"] == "FAIL"]
    columns = [test["metric_config"]["params"].get("column") for test in failed]
    return [column for column in columns if column is not None], taken_s


def main() -> None:
    """Read what to do from the command line; print what was decided for each case and window.

    Windows are drawn in turn for all cases, until the asked number or the budget of processor time is reached.
    """
    warnings.simplefilter("ignore")
    asked = json.loads(sys.argv[1])
    drifted(CASES[0], 0, shifted=False, features=2)  # imports the rest
    _, large_s = drifted(LARGE, 0, shifted=False, features=asked["features_large"])
    decisions: dict[str, list[dict[str, Any]]] = {case.name: [] for case in CASES}
    seed = 0
    until_s = time.process_time() + asked["budget_s"]
    while seed < asked["windows"] and (seed < 2 or time.process_time() < until_s):
        for case in CASES:
            for shifted in (False, True):
                columns, _ = drifted(case, seed, shifted=shifted, features=asked["features"])
                decisions[case.name].append({"seed": seed, "shifted": shifted, "drifted": columns})
        seed += 1
    print(json.dumps({"decisions": decisions, "large_s": large_s, "windows": seed}))


if __name__ == "__main__":
    main()
