"""A run's master on another machine -> a Locust worker here that joins it, sends its share and ends."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from seamark.runner.locust import command, environment, worker_options


def join(host: str, port: int, token: str) -> int:
    """Work for the master at `host`:`port` until the run is over; return Locust's exit code. Blocks.

    The order, with its allow-list and request bodies, comes from the master and lies in a folder that is removed.
    """
    with tempfile.TemporaryDirectory(prefix="seamark-worker-") as folder:
        work_dir = Path(folder)
        with subprocess.Popen(  # noqa: S603 - our own interpreter and script
            command(worker_options(host, port)),
            cwd=work_dir,
            env=environment(work_dir, token),
            stdin=subprocess.PIPE,  # held open and never written to: its end tells the worker that we are gone
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                return process.wait()
            finally:
                process.kill()
