"""A real `seamark serve` in a process of its own, for tests that go in by the front door."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.empty_stores import put_stores

ROOT = Path(__file__).resolve().parent.parent
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("SEAMARK_", "OTEL_"))}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """One `seamark serve`. Stopped by SIGTERM at the end of the `with`."""

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        makes_stores: bool = False,
    ) -> None:
        """With `makes_stores` a new folder is left to the service; else it finds empty stores there."""
        if not makes_stores and not (data_dir.exists() and any(data_dir.iterdir())):
            put_stores(data_dir)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self.lines: list[str] = []
        command = [sys.executable, "-m", "seamark.cli", "serve", "--data-dir", str(data_dir), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--otlp-port", "0", "--grpc-port", "0", *flags],
            env={**CLEAN, **(environment or {})},
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.lines.extend(lines)

    def __enter__(self) -> Self:
        self.until(self._answers, "the service to answer", 60.0)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"seamark serve ended with {self.process.returncode}:\n{self.log}"
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.stop()
        self._reader.join(5.0)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"seamark serve did not end within {timeout_s} s:\n{self.log}") from None
        self._reader.join(5.0)
        return code

    @property
    def log(self) -> str:
        """What the service wrote to stderr."""
        return "".join(self.lines)

    def get(self, path: str, **params: Any) -> Any:
        """GET a JSON document."""
        response = self.http.get(path, params=params)
        assert response.is_success, f"GET {path}: {response.status_code} {response.text}\n{self.log[-3000:]}"
        return response.json()

    def ingested(self, signal: str, outcome: str) -> int:
        """How many rows of a signal were accepted, or refused, since the start."""
        text = self.http.get("/metrics").text
        wanted = {"signal": signal, "outcome": outcome}
        (count,) = (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "seamark_ingest_rows_total" and sample.labels == wanted
        )
        return int(count)

    def apply(self, text: str) -> Any:
        """Put a seamark.yaml in force."""
        response = self.http.put("/api/v1/config", content=text)
        assert response.is_success, response.text
        return response.json()

    def until(self, condition: Any, what: str, timeout_s: float = 30.0) -> Any:
        """Poll until the condition is true and return its value; fail with the log otherwise."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}\n{self.log[-4000:]}"
            time.sleep(0.1)


def run_cli(*arguments: str, environment: dict[str, str] | None = None, timeout_s: float = 120.0) -> Any:
    """Run the `seamark` command to its end."""
    command = [sys.executable, "-m", "seamark.cli", *arguments]
    return subprocess.run(
        command, env={**CLEAN, **(environment or {})}, capture_output=True, text=True, timeout=timeout_s, check=False
    )
