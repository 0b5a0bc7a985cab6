"""Several real Locust workers under one master make the run that one process would have made, or say what is amiss."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.test_locust_run import HEALTHY, Dial, Watcher, dial, plan_for, processes_in, run

from seamark.compute.shapes import SHAPES
from seamark.compute.verdict import judge
from seamark.core.specs import ShapeSpec
from seamark.core.thresholds import parse_threshold

__all__ = ["dial"]  # the fixture
pytestmark = [pytest.mark.slow, pytest.mark.paced]
TWO: dict[str, Any] = {"workers": 2}


def test_two_workers_send_exactly_the_planned_arrivals(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server, watcher = dial(), Watcher()
    plan = plan_for(f"{server.origin}/predict", 1, 1, **TWO)
    params = {"stages": [{"rate_rps": 60, "duration_s": 1.5}, {"rate_rps": 30, "duration_s": 1.5}]}
    plan = replace(plan, shape=ShapeSpec("stages", params))
    outcome = run(plan, tmp_path, watcher)
    assert outcome.error is None and outcome.aborted is None and errors_of(outcome) == {None}

    planned = [s.arrivals + start for s, start in zip(SHAPES["stages"].segments(params, (), 7), (0, 1.5), strict=True)]
    due_s = np.sort(outcome.samples["due_s"].to_numpy())
    assert due_s == pytest.approx(np.concatenate(planned), abs=1e-5)
    assert server.set()["requests"] == len(due_s)
    numbers = outcome.samples["number"].to_pylist()
    assert len(set(numbers)) == len(numbers) and len({n % 2 for n in numbers}) == 2
    assert [(s.index, s.asked_rps) for s in outcome.segments] == [(0, 60), (1, 30)]
    assert watcher.seen[-1].done == watcher.seen[-1].sent == len(due_s)
    assert not processes_in(tmp_path)


@pytest.mark.serial
def test_a_search_and_users_are_shared_too(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server = dial()
    thresholds = (parse_threshold("p50(latency_ms) < 2000"), parse_threshold("error_ratio < 0.01"))
    plan = plan_for(f"{server.origin}/predict", 1, 1, thresholds=thresholds, **TWO)
    search = replace(plan, shape=ShapeSpec("capacity", {"start_rps": 40, "stop_rps": 80, "step_s": 1}))
    (tmp_path / "search").mkdir()
    outcome = run(search, tmp_path / "search")
    assert outcome.error is None
    verdict = judge(search, outcome.samples, outcome.segments, **HEALTHY)
    assert verdict.capacity is not None and verdict.capacity.steps[0].requests > 20

    users = replace(plan, shape=ShapeSpec("users", {"count": 3, "spawn_per_s": 30, "duration_s": 1, "wait_s": 0.1}))
    (tmp_path / "users").mkdir()
    outcome = run(users, tmp_path / "users")
    assert errors_of(outcome) == {None} and 15 <= outcome.samples.num_rows <= 33


@pytest.mark.parametrize("workers", [1, 2])
def test_a_step_that_is_clearly_broken_is_cut_short(dial: Callable[[], Dial], tmp_path: Path, workers: int) -> None:
    """Every answer is an error: far more than a search tells apart fail in the first seconds, of each worker alike."""
    server = dial()
    server.set(status=500)
    thresholds = (parse_threshold("p95(latency_ms) < 500"), parse_threshold("error_ratio < 0.01"))
    plan = plan_for(f"{server.origin}/predict", 1, 1, thresholds=thresholds, workers=workers)
    plan = replace(plan, shape=ShapeSpec("capacity", {"start_rps": 60, "stop_rps": 80, "step_s": 20}))
    outcome = run(plan, tmp_path, Watcher(until=lambda progress: progress.segment >= 1))
    step = outcome.segments[0]
    assert outcome.error is None and step.asked_rps == 60 and 1.0 < step.duration_s < 8.0
    due_s = outcome.samples["due_s"].to_numpy()[outcome.samples["segment"].to_numpy() == 0] - step.start_s
    planned = next(SHAPES["capacity"].segments(plan.shape.params, thresholds, 7)).arrivals
    assert np.sort(due_s) == pytest.approx(planned[planned < step.duration_s], abs=1e-5)
    verdict = judge(plan, outcome.samples, outcome.segments, **HEALTHY)
    assert verdict.capacity is None and "error_ratio was 1" in verdict.reason


def test_a_lost_worker_makes_the_run_inconclusive(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server = dial()
    killed: list[int] = []

    def kill_one(progress: Any) -> bool:
        if progress.done > 20 and not killed:
            workers = [
                pid for pid in processes_in(tmp_path) if b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)
        return False

    outcome = run(plan_for(f"{server.origin}/predict", 40, 60, **TWO), tmp_path, Watcher(until=kill_one))
    assert killed and outcome.error is not None and "of 2 went away" in outcome.error
    assert outcome.samples.num_rows > 20 and not processes_in(tmp_path)


def test_a_stop_reaches_every_worker(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server = dial()
    stopper = Watcher(until=lambda p: (p.done >= 20 and not server.set(mode="hang")) or p.in_flight >= 10)
    outcome = run(plan_for(f"{server.origin}/predict", 50, 60, timeout_s=30.0, **TWO), tmp_path, stopper)
    assert outcome.aborted == "stopped before its end" and outcome.error is None
    errors = outcome.samples["error"].to_pylist()
    assert errors.count(None) >= 20 and "stopped before an answer" in errors
    assert not processes_in(tmp_path)


def test_a_worker_that_is_not_of_this_run_gets_nothing(dial: Callable[[], Dial], tmp_path: Path) -> None:
    """The master listens on loopback only, and gives its shares to those who know the run's token."""
    server = dial()
    heard: list[str] = []

    def look(progress: Any) -> bool:
        if not heard:
            listening = subprocess.run(["ss", "-ltnp"], capture_output=True, text=True, check=True).stdout
            pids = {f"pid={pid}," for pid in processes_in(tmp_path)}
            heard.extend(line.split()[3] for line in listening.splitlines() if any(pid in line for pid in pids))
        return False

    run(plan_for(f"{server.origin}/predict", 20, 2, **TWO), tmp_path, Watcher(until=look))
    assert heard and all(address.startswith("127.0.0.1:") for address in heard)


def errors_of(outcome: Any) -> set[str | None]:
    return set(outcome.samples["error"].to_pylist())
