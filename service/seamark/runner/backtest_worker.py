"""A work folder with arrivals and a job -> `answer.json`: policies played, a warm floor, in a child of low priority."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np

from seamark.compute.backtest.in_force import courses_with_floor, told, with_floor, without_floor
from seamark.compute.backtest.judge import SEAMARK, judged, play_all
from seamark.compute.warm_floor import warm_floor
from seamark.core.backtest import Trace
from seamark.core.findings import to_document
from seamark.runner.backtest import Answer, Job

NICER = 10  # whoever serves requests on this machine comes first
_PR_SET_PDEATHSIG = 1


def main(work_dir: Path) -> None:
    """Play the job in the folder; an exception ends the process with a last line that says why."""
    os.nice(NICER)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = msgspec.json.decode((work_dir / "job.json").read_bytes(), type=Job)
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s_most, job.cpu_s_most))
    counted = work_dir / "counted.npy"
    trace = Trace(
        job.step_s,
        np.load(work_dir / "rates.npy", allow_pickle=False),
        bridged=tuple(job.bridged),
        counted=np.load(counted, allow_pickle=False) if counted.exists() else None,
    )
    courses = play_all(trace, without_floor(job.fleet))
    ready = courses.by_policy[SEAMARK].ready
    price = job.cost_per_replica_hour
    floor = warm_floor(courses.rates, ready, job.fleet, counted=courses.counted, price=price)
    fleet = with_floor(job.fleet, floor)
    courses = courses_with_floor(trace, fleet, courses)
    notes = (*trace.bridged, *told(fleet))
    found = judged(courses, fleet, cost_per_replica_hour=price, notes=notes)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    answer = Answer(found, round(spent.ru_utime + spent.ru_stime, 2), floor)
    (work_dir / "part.json").write_bytes(msgspec.json.encode(to_document(answer)))
    (work_dir / "part.json").rename(work_dir / "answer.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
