"""A trace and a fleet -> all policies side by side, played in a process of its own.

Two weeks are 80,640 decisions of each policy: seconds of Python, in which the service's own threads would wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

import seamark
from seamark.core.advice import WarmFloor
from seamark.core.backtest import Backtest, Fleet, Trace
from seamark.core.errors import SeamarkError
from seamark.core.findings import to_document

POLL_S = 0.1
STDERR_BYTES_KEPT = 4096
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


class Interrupted(SeamarkError):
    """The service stops; the backtest can be made again."""


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
        _run(work_dir, timeout_s, stopping)
        return msgspec.json.decode((work_dir / "answer.json").read_bytes(), type=Answer)


def _run(work_dir: Path, timeout_s: float, stopping: Callable[[], bool]) -> None:
    command = [sys.executable, "-P", "-m", "seamark.runner.backtest_worker", str(work_dir)]
    with (work_dir / "stderr").open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            cwd=work_dir,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = _wait(process, timeout_s, stopping)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    if code != 0 or not (work_dir / "answer.json").exists():
        raise SeamarkError(f"the backtest could not be played (code {code}): {_last_line(work_dir / 'stderr')}")


def _wait(process: subprocess.Popen[bytes], timeout_s: float, stopping: Callable[[], bool]) -> int:
    for _ in range(max(int(timeout_s / POLL_S), 1)):
        if stopping():
            raise Interrupted("the service stopped while a backtest was played")
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_S)
    raise SeamarkError(f"the backtest was not done after {timeout_s:g} s")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    root = str(Path(seamark.__file__).resolve().parent.parent)
    paths = [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(path).resolve()) for path in paths if path)),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_bytes()[-STDERR_BYTES_KEPT:].decode("utf-8", "replace").splitlines()]
    return next((line[:500] for line in reversed(lines) if line), "it said nothing")
