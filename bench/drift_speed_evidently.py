"""Run in a process of its own: Evidently's default preset over a large window, time and memory as JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["DO_NOT_TRACK"] = "1"  # before the import: Evidently phones home otherwise

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from bench import drift_rows


def frame(seed: int, rows: int) -> pd.DataFrame:
    """Return the rows that the lake holds."""
    values, codes = drift_rows.numbers(seed, rows), drift_rows.codes(seed, rows)
    texts = pd.Series(drift_rows.texts(), dtype=object).to_numpy()
    columns = {f"n{place}": values[:, place].copy() for place in range(values.shape[1])}
    return pd.DataFrame(columns | {f"c{place}": texts[codes[:, place]] for place in range(codes.shape[1])})


def judged_s(reference_rows: int, rows: int) -> tuple[float, float]:
    """Return the seconds from DataFrames to decisions, and the MB held at most above those that they started from."""
    frames = frame(2, rows), frame(1, reference_rows)
    numeric, texts = ([name for name in frames[0] if name.startswith(letter)] for letter in ("n", "c"))
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=texts)
    base_mb = _memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started_s = time.perf_counter()
    current, reference = (Dataset.from_pandas(one, data_definition=definition) for one in frames)
    Report([DataDriftPreset()], include_tests=True).run(current, reference).dict()
    return time.perf_counter() - started_s, _memory_mb("VmHWM") - base_mb


def _memory_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


def main() -> None:
    """Read the sizes from the command line."""
    warnings.simplefilter("ignore")
    judged_s(200, 200)  # imports the rest
    taken_s, above_base_mb = judged_s(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"s": taken_s, "above_base_mb": above_base_mb}))


if __name__ == "__main__":
    main()
