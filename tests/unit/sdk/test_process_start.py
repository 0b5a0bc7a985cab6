"""The SDK says when its process began, where the system knows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from seamark_sdk.process_start import process_started_at


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has /proc")
def test_it_is_when_this_process_began() -> None:
    before_s = time.time()
    asked = "from seamark_sdk.process_start import process_started_at; print(process_started_at())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    told = subprocess.run(
        [sys.executable, "-c", asked], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()
    started_s = datetime.fromisoformat(told).timestamp()
    assert before_s - 1.5 <= started_s <= time.time() + 1.5  # the kernel tells its own start in whole seconds


def test_a_process_may_be_called_anything(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "stat").write_text("cpu 1\nbtime 1700000000\n")
    (tmp_path / "self" / "stat").write_text("7 (a) S (b c) R " + " ".join(["0"] * 18) + " 100 0 0")
    told = process_started_at(str(tmp_path))
    assert told is not None and told.startswith("2023-11-14T22:13:2")


@pytest.mark.parametrize("text", ["", "7 (a) R 1 2", "7 (a) R " + "x " * 30, "7 (a) R " + "9" * 400 + " " * 30])
def test_a_system_that_does_not_say_is_no_error(tmp_path: Path, text: str) -> None:
    assert process_started_at(str(tmp_path / "none")) is None
    (tmp_path / "self").mkdir()
    (tmp_path / "stat").write_text("btime 1700000000\n")
    (tmp_path / "self" / "stat").write_text(text)
    assert process_started_at(str(tmp_path)) is None
