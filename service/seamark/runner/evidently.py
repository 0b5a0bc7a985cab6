"""Two tables of features -> Evidently's HTML report, made in a process of its own.

Evidently takes seconds and hundreds of megabytes to import, so the service never does. What goes into the report came
from whoever sends predictions, and Evidently writes names and values into its scripts as they are: they are made
harmless here first.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seamark.core.errors import Invalid
from seamark.runner.worker_process import run_worker

ROWS_MAX = 20_000
COLUMNS_MAX = 200
LEVELS_MAX = 100
NAME_MAX = 100
MEMORY_BYTES = 4 * 1024**3

# What could end a script, an attribute or a template literal, as a look-alike that cannot.
_HARMLESS = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "&": "\uff06", '"': "\u201d", "'": "\u2019", "`": "\u2019", "\\": "\uff3c"}
)


def report(
    reference: pa.Table,
    current: pa.Table,
    kinds: Mapping[str, str],
    out: Path,
    timeout_s: float,
    *,
    methods: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float | None] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Write a report of how each shared column moved from `reference` to `current` to `out`; blocks until it is there.

    `kinds` says numeric or categorical by column name. `methods` and `thresholds` are what Seamark judged by: a column
    that Seamark did not judge (no threshold) is left out, so that the report never contradicts it; without both,
    Evidently chooses. What is left out or cut is named in the report. Raises Invalid where nothing is left to report,
    SeamarkError where the worker failed, took longer than `timeout_s` or needed too much memory.
    """
    job = _Job(kinds, methods, thresholds)
    names = job.choose(reference, current)
    with tempfile.TemporaryDirectory(prefix="evidently-", dir=out.parent) as folder:
        work_dir = Path(folder)
        for side, table in (("reference", reference), ("current", current)):
            pq.write_table(job.harmless(side, table, names), work_dir / f"{side}.parquet")
        (work_dir / "job.json").write_text(json.dumps(job.document(timeout_s)), encoding="utf-8")
        _run(work_dir, timeout_s, stopping)
        (work_dir / "report.html").replace(out)


class _Job:
    """What the worker is told: columns by their harmless names, methods, thresholds, and notes for the reader."""

    def __init__(
        self,
        kinds: Mapping[str, str],
        methods: Mapping[str, str] | None,
        thresholds: Mapping[str, float | None] | None,
    ) -> None:
        self._kinds, self._methods, self._thresholds = kinds, methods, thresholds
        self._shown: dict[str, str] = {}
        self._common: dict[str, pa.Array] = {}  # the levels shown of a column that has too many, the same on both sides
        self.notes: list[str] = []

    def choose(self, reference: pa.Table, current: pa.Table) -> list[str]:
        """Return the columns that can be reported, and note why others cannot."""
        chosen: list[str] = []
        reasons: dict[str, list[str]] = {}
        for name in self._kinds:
            reason = self._unfit(name, reference, current)
            if reason is None and len(chosen) == COLUMNS_MAX:
                reason = f"beyond the first {COLUMNS_MAX} columns"
            if reason is None:
                chosen.append(name)
            else:
                reasons.setdefault(reason, []).append(harmless(name))
        for reason, names in reasons.items():
            listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            self.notes.append(f"Left out, {reason}: {listed}.")
        if not chosen:
            why = " ".join(self.notes) or "there is no column in both samples."
            raise Invalid(f"there is nothing to report: {why}")
        for name in chosen:
            self._shown[name] = _unused(harmless(name), set(self._shown.values()))
            if self._kinds[name] == "categorical":
                self._keep_common_levels(name, reference, current)
        return chosen

    def _keep_common_levels(self, name: str, reference: pa.Table, current: pa.Table) -> None:
        both = [*(_values(table[name], "categorical") for table in (reference, current))]
        counts = pc.value_counts(pa.chunked_array([chunk for side in both for chunk in side.chunks]).drop_null())
        if len(counts) > LEVELS_MAX:
            order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])
            self._common[name] = counts.field("values").take(order[:LEVELS_MAX])
            self.notes.append(f"{self._shown[name]}: the levels after the {LEVELS_MAX} most frequent are put together.")

    def _unfit(self, name: str, reference: pa.Table, current: pa.Table) -> str | None:
        if name not in reference.column_names or name not in current.column_names:
            return "not in both samples"
        if self._kinds[name] not in ("numeric", "categorical"):
            return "neither numeric nor categorical"
        for table in (reference, current):
            if _values(table[name], self._kinds[name]).null_count == table.num_rows:
                return "without a single value in one of the samples"
        if self._thresholds is not None and self._thresholds.get(name) is None:
            return "not judged by Seamark"
        return None

    def harmless(self, side: str, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """Return the rows for the worker: sampled, names and texts made harmless, rare levels put together."""
        if table.num_rows > ROWS_MAX:
            self.notes.append(f"A random sample of {ROWS_MAX} of the {table.num_rows} {side} rows.")
            chosen = np.sort(np.random.default_rng(0).choice(table.num_rows, ROWS_MAX, replace=False))
            table = table.take(pa.array(chosen))
        columns = {}
        for name in names:
            values = _values(table[name], self._kinds[name])
            columns[self._shown[name]] = values if self._kinds[name] == "numeric" else self._levels(name, values)
        return pa.table(columns)

    def _levels(self, name: str, values: pa.ChunkedArray) -> pa.Array:
        encoded = values.combine_chunks().dictionary_encode()
        levels = encoded.dictionary
        shown = pa.array([harmless(text) for text in levels.to_pylist()], pa.string())
        if name in self._common:
            shown = pc.if_else(pc.is_in(levels, value_set=self._common[name]), shown, "(all others)")
        return pc.take(shown, encoded.indices)

    def document(self, timeout_s: float) -> dict[str, Any]:
        """The job as JSON."""
        methods, thresholds = self._methods or {}, self._thresholds or {}
        columns = [
            {
                "name": shown,
                "kind": self._kinds[name],
                "method": methods.get(name),
                "threshold": thresholds.get(name),
            }
            for name, shown in self._shown.items()
        ]
        return {
            "columns": columns,
            "notes": list(dict.fromkeys(self.notes)),
            "memory_bytes": MEMORY_BYTES,
            "cpu_s": max(1, int(timeout_s) + 1),
        }


def harmless(text: str) -> str:
    """Text that stays text inside Evidently's scripts and markup; long text is cut."""
    safe = "".join(char if char.isprintable() else " " for char in text.translate(_HARMLESS))
    return (safe if len(safe) <= NAME_MAX else safe[: NAME_MAX - 1] + "\u2026") or "(empty)"


def _unused(name: str, used: set[str]) -> str:
    count = 1
    candidate = name
    while candidate in used:
        count += 1
        candidate = f"{name} ({count})"
    return candidate


def _values(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Floats without infinities and NaN (null instead), or strings."""
    if kind != "numeric":
        return column.cast(pa.string())
    numbers = column.cast(pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _run(work_dir: Path, timeout_s: float, stopping: Callable[[], bool] = lambda: False) -> None:
    run_worker(
        "seamark.runner.evidently_worker",
        work_dir,
        "report.html",
        what="the drift report",
        timeout_s=timeout_s,
        stopping=stopping,
        environment={
            "HOME": str(work_dir),
            "MPLCONFIGDIR": str(work_dir),
            "DO_NOT_TRACK": "1",  # Evidently reports its use otherwise
            "MALLOC_ARENA_MAX": "2",  # each arena reserves address space, which is limited here
        },
    )
