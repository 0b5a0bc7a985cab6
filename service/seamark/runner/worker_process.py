"""A module and its folder of work -> run as a process of its own, ended with the service or when it takes too long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import seamark
from seamark.core.errors import SeamarkError

POLL_S = 0.1
STDERR_BYTES_KEPT = 4096
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


class Interrupted(SeamarkError):
    """The service stops; the work can be done again."""


def run_worker(
    module: str,
    work_dir: Path,
    answer: str,
    *,
    what: str,
    timeout_s: float,
    stopping: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `python -m module work_dir` until it has ended and left the file `answer` there.

    It is told nothing of the service's environment but where programs are, and `environment`; one thread each, as
    the work is no hurry. Raises Interrupted where the service stops, SeamarkError with `what` ("the backtest") and the
    worker's last words where it failed or took longer than `timeout_s`.
    """
    with (work_dir / "stderr").open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", module, str(work_dir)],
            cwd=work_dir,
            env={**_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = _wait(process, what, timeout_s, stopping)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    if code != 0 or not (work_dir / answer).exists():
        raise SeamarkError(f"{what} could not be made (code {code}): {_last_line(work_dir / 'stderr')}")


def _wait(process: subprocess.Popen[bytes], what: str, timeout_s: float, stopping: Callable[[], bool]) -> int:
    for _ in range(max(int(timeout_s / POLL_S), 1)):
        if stopping():
            raise Interrupted(f"the service stopped before {what} was done")
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_S)
    raise SeamarkError(f"{what} was not done after {timeout_s:g} s")


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
