"""Run in a process of its own: Seamark's estimates of each chunk in a folder's files, as JSON on stdout.

What is timed begins with rows as the lake gives them (scores are JSON texts) and ends with estimates and intervals.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `seamark serve` does

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from seamark.compute.estimate import window as estimating
from seamark.core.windows import Window

_WINDOW = Window.trailing(datetime(2026, 3, 1, tzinfo=UTC), 3600)


@dataclass(frozen=True)
class _Rows:
    prediction_number: npt.NDArray[np.float64]
    prediction_text: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    label_number: npt.NDArray[np.float64]
    label_text: npt.NDArray[Any]

    def part(self, chosen: slice) -> _Rows:
        return _Rows(*(getattr(self, one.name)[chosen] for one in fields(self)))


def _outcome(table: pa.Table, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    rows = table.num_rows
    if name not in table.column_names:
        return np.full(rows, np.nan), np.full(rows, None)
    column = table[name]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.full(rows, np.nan), column.to_numpy()
    return column.cast(pa.float64()).to_numpy(), np.full(rows, None)


def _rows(table: pa.Table, scores: dict[str, str]) -> _Rows:
    texts = np.full(table.num_rows, None)
    if scores:
        columns = [table[column].to_pylist() for column in scores.values()]
        texts[:] = [json.dumps(dict(zip(scores, row, strict=True))) for row in zip(*columns, strict=True)]
    return _Rows(*_outcome(table, "y_pred"), texts, *_outcome(table, "y_true"))


def _features(table: pa.Table, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    found = {}
    for name in names:
        kind = table[name].type
        numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        found[name] = table[name].cast(pa.float64() if numeric else pa.string()).to_numpy()
    return found


def main(folder: Path) -> None:
    """Fit on the reference, estimate the watched rows; print estimates by metric, and seconds."""
    job = json.loads((folder / "job.json").read_text())
    reference, watched = (pq.read_table(folder / f"{side}.parquet") for side in ("reference", "watched"))
    sides = [(_rows(side, job["scores"]), _features(side, job["features"])) for side in (reference, watched)]
    (known, known_features), (rows, features) = sides
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    fitted = estimating.fit(known, known_features)
    found = []
    for number in range(job["chunks"]):
        chunk = slice(number * job["chunk_rows"], (number + 1) * job["chunk_rows"])
        columns = {name: values[chunk] for name, values in features.items()}
        found.append(
            estimating.estimate(
                _WINDOW, fitted, rows.part(chunk), columns, predictions=job["chunk_rows"], reference_id=None
            ).metrics
        )
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    of_classes = len(job["scores"]) > 1
    names = {
        name: f"macro_{name}" if of_classes and name in ("precision", "recall", "f1") else name
        for name in job["metrics"]
    }
    estimates = {name: [one[ours].value for one in found] for name, ours in names.items()}
    intervals = {name: [(one[ours].low, one[ours].high) for one in found] for name, ours in names.items()}
    print(json.dumps({"estimates": estimates, "intervals": intervals, "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
