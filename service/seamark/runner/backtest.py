"""A trace and a fleet -> all policies side by side, played in a process of its own.

Two weeks are 80,640 decisions of each policy: seconds of Python, in which the service's own threads would wait.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from seamark.core.advice import WarmFloor
from seamark.core.backtest import Backtest, Fleet, Trace
from seamark.core.findings import to_document
from seamark.runner.worker_process import run_worker


class Job(msgspec.Struct):
    """What the worker is told beside the arrays."""

    step_s: float
    bridged: list[str]
    fleet: Fleet
    cost_per_replica_hour: float | None
    cpu_s_most: int


class Answer(msgspec.Struct):
    """What the worker found, the CPU seconds it took, and the replicas that bursts would have been worth."""

    found: Backtest
    cpu_s: float
    warm_floor: WarmFloor


def play(
    trace: Trace,
    fleet: Fleet,
    *,
    cost_per_replica_hour: float | None,
    folder: Path,
    timeout_s: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Answer:
    """Return the backtest of a trace of rates; blocks until it is there. Temporary files lie in `folder`.

    Raises Interrupted where the service stops, SeamarkError where the worker failed or took longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="seamark-backtest-", dir=folder) as made:
        work_dir = Path(made)
        np.save(work_dir / "rates.npy", trace.rates)
        if trace.counted is not None:
            np.save(work_dir / "counted.npy", trace.counted)
        job = Job(trace.step_s, list(trace.bridged), fleet, cost_per_replica_hour, max(int(timeout_s), 1))
        (work_dir / "job.json").write_bytes(msgspec.json.encode(to_document(job)))
        run_worker(
            "seamark.runner.backtest_worker",
            work_dir,
            "answer.json",
            what="the backtest",
            timeout_s=timeout_s,
            stopping=stopping,
        )
        return msgspec.json.decode((work_dir / "answer.json").read_bytes(), type=Answer)
