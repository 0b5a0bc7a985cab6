"""Large rewrites in a process of their own: the same rows, whatever befalls that process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from tests.lake_rows import AT, spans

from seamark.core.errors import StoreUnavailable
from seamark.store import rewriting
from seamark.store.lake_schema import STORED, stored_form
from seamark.store.merging import DataFile
from seamark.store.rewriting import RESTS_MAX, Old, Rewrite, Rewriter

pytestmark = pytest.mark.slow  # processes of their own


@pytest.fixture
def rewriter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rewriter]:
    monkeypatch.setattr(rewriting, "INLINE_BYTES", 0)
    made = Rewriter()
    yield made
    made.close()


@pytest.fixture
def sources(tmp_path: Path) -> list[DataFile]:
    files = []
    for number in range(3):
        path = tmp_path / f"{number}.parquet"
        rows = spans(40, first=40 * number, start_at=AT + timedelta(hours=number))
        pq.write_table(stored_form("spans", rows), path)
        files.append(DataFile(str(path), 40, path.stat().st_size))
    return files


def job(sources: list[DataFile], target: Path, old: Old | None = None) -> Rewrite:
    return Rewrite("spans", sources, str(target), STORED["spans"].serialize().to_pybytes(), old)


def test_it_writes_what_this_process_would(rewriter: Rewriter, sources: list[DataFile], tmp_path: Path) -> None:
    old = Old(AT + timedelta(minutes=90), AT + timedelta(days=2))
    for number, left_out in enumerate((None, old)):
        there, here = tmp_path / f"there{number}.parquet", tmp_path / f"here{number}.parquet"
        done = rewriter.run(job(sources, there, left_out))
        mine = rewriting.rewrite(job(sources, here, left_out))
        assert done.rows == mine.rows == 120
        assert done.new.columns == mine.new.columns
        assert done.new.file.last_at == mine.new.file.last_at is not None
        assert pq.read_table(there).equals(pq.read_table(here))
        assert pq.read_table(there).num_rows == (120, 40)[number]
        assert Path(f"{there}.traces").read_bytes() == Path(f"{here}.traces").read_bytes()


def test_what_fails_there_is_told_here_and_the_next_goes_on(
    rewriter: Rewriter, sources: list[DataFile], tmp_path: Path
) -> None:
    missing = DataFile(str(tmp_path / "nowhere.parquet"), 40, 100)
    target = tmp_path / "target.parquet"
    with pytest.raises(StoreUnavailable, match="nowhere"):
        rewriter.run(job([*sources, missing], target))
    assert not list(tmp_path.glob("target*"))
    assert rewriter.run(job(sources, target)).rows == 120


def test_a_killed_process_is_started_anew(rewriter: Rewriter, sources: list[DataFile], tmp_path: Path) -> None:
    rewriter.run(job(sources, tmp_path / "one.parquet"))
    assert rewriter._process is not None
    process = psutil.Process(rewriter._process.pid)
    process.suspend()  # it takes the job and is killed while at it
    killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(0.5); os.kill({process.pid}, 9)"])
    with pytest.raises(StoreUnavailable, match="ended with status -9"):
        rewriter.run(job(sources, tmp_path / "two.parquet"))
    killer.wait()
    assert rewriter.run(job(sources, tmp_path / "two.parquet")).rows == 120


def test_it_is_let_go_when_there_is_nothing_to_do(rewriter: Rewriter, sources: list[DataFile], tmp_path: Path) -> None:
    rewriter.run(job(sources, tmp_path / "one.parquet"))
    assert rewriter._process is not None
    pid = rewriter._process.pid
    for _ in range(RESTS_MAX - 1):
        rewriter.rest()
    assert psutil.pid_exists(pid)
    rewriter.rest()
    assert not psutil.pid_exists(pid)
    assert rewriter.run(job(sources, tmp_path / "two.parquet")).rows == 120


def test_small_ones_need_no_process(sources: list[DataFile], tmp_path: Path) -> None:
    rewriter = Rewriter()
    assert rewriter.run(job(sources, tmp_path / "one.parquet")).rows == 120
    assert rewriter._process is None


PARENT = """
import sys, time
from seamark.store import rewriting
from seamark.store.lake_schema import STORED
from seamark.store.merging import DataFile
rewriting.INLINE_BYTES = 0
rewriter = rewriting.Rewriter()
file = DataFile(sys.argv[1], 40, 1)
schema = STORED["spans"].serialize().to_pybytes()
rewriter.run(rewriting.Rewrite("spans", [file], sys.argv[2], schema))
print(rewriter._process.pid, flush=True)
time.sleep(60)
"""


def test_it_ends_with_a_killed_parent(sources: list[DataFile], tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, sources[0].path, str(tmp_path / "target.parquet")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.stdout.close()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert datetime.now(UTC) < deadline, "the child outlived its parent"
        time.sleep(0.05)
