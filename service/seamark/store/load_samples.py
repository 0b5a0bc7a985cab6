"""What one load test measured, row by row."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

import pyarrow as pa

from seamark.core.records import LOAD_SAMPLES
from seamark.store.lake import Lake


def samples(lake: Lake, run_id: str) -> pa.Table:
    """Return a run's requests by the instant they were due: the columns of LOAD_SAMPLES; no rows for an unknown run."""
    names = ", ".join(f'"{name}"' for name in LOAD_SAMPLES.names)
    return lake.query(f"SELECT {names} FROM lake.load_samples WHERE run_id = ? ORDER BY due_s, segment", [run_id])
