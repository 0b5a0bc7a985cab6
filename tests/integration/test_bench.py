"""The benches run as they are called: what they send to a real service is stored, and their tables come out whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench import ceiling
from bench.bodies import make
from bench.lake_state import compact, count, opened
from bench.load import send, sending
from bench.running import seamark

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_what_the_sender_says_was_acknowledged_is_in_the_lake(tmp_path):
    bodies = make("protobuf", 24, tmp_path / "bodies")
    with seamark(tmp_path / "service") as server:
        closed = send(server, bodies, count=10, connections=3, warm_s=0.0, window_s=60.0)
        opened_loop = send(server, bodies, first=10, count=10, rate_rps=20.0, warm_s=0.0, window_s=60.0)
        counted = server.counted("traces")
    assert (closed.acknowledged, opened_loop.acknowledged) == (10, 10)
    assert counted == 20 * 512
    assert 0 < opened_loop.p50_ms <= opened_loop.max_ms
    assert closed.cpu_s > 0
    with opened(tmp_path / "service") as lake:
        assert count(lake, "spans") == (20 * 512, 20 * 512)
        before = lake.health().files
        compact(lake)
        assert 0 < lake.health().files <= min(before, 16)  # fewer than sixteen of one size are left as they are
        assert count(lake, "spans") == (20 * 512, 20 * 512)
    assert ceiling.rows_per_cpu_s(bodies, 0.2) > 0


@pytest.mark.slow
def test_a_sender_ends_when_it_is_told_to_and_says_what_was_answered(tmp_path):
    bodies = make("protobuf", 40, tmp_path / "bodies")
    with seamark(tmp_path / "service") as server:
        with sending(server, bodies, rate_rps=2.0, seconds=60.0) as run:
            deadline_s = time.monotonic() + 60
            while server.counted("traces") == 0:
                assert run.under_way
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
        assert not run.under_way
        assert 1 <= run.load(0.0).acknowledged < 40


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_every_bench_of_the_engine_runs_and_writes_its_goals(tmp_path):
    command = [sys.executable, "-m", "bench", "ingest", "queries", "--quick", "--write", str(tmp_path / "out.md")]
    paths = os.pathsep.join([str(ROOT / "service"), str(ROOT)])
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=1100
    )
    assert told.returncode == 0, told.stderr
    for name in ("ingest", "queries"):
        goals = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())["goals"]
        assert goals
        for goal in goals:
            if goal["measured"] is None:
                assert "not measured" in goal["how"], goal
    assert "durable spans/s" in (tmp_path / "out.md").read_text()
