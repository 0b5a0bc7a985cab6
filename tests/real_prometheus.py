"""A scrape target becomes a real Prometheus that has scraped it, on loopback, for as long as a test needs it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: seamark
    static_configs: [{{targets: ["{target}"]}}]
rule_files: {rules}
"""


class Prometheus:
    """A running Prometheus. Every call raises AssertionError with Prometheus's own words where it says no."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """Return `data` of an API answer."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        return list(self.get("query", query=expr)["result"])

    def wait(self, expr: str, deadline_s: float = 30.0) -> list[dict[str, Any]]:
        """Return the series of `expr` as soon as there are any."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            found = self.query(expr)
            if found:
                return found
            time.sleep(0.2)
        targets = self.get("targets")["activeTargets"]
        raise AssertionError(f"{expr} has no series after {deadline_s} s; targets: {json.dumps(targets, indent=1)}")


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(binary: Path, target: str, folder: Path, rules: tuple[Path, ...] = ()) -> Iterator[Prometheus]:
    """Run Prometheus in `folder` against `target` (host:port) and yield it once it has scraped four times."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=target, rules=json.dumps([str(path) for path in rules])))
    port = free_port()
    log = (folder / "prometheus.log").open("w")
    command = [
        str(binary),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        _await_ready(server, process, folder / "prometheus.log")
        server.wait('sum_over_time(up{job="seamark"}[1m]) >= 4')
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        log.close()


def _await_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, f"Prometheus ended at once:\n{log.read_text()}"
        try:
            urllib.request.urlopen(f"{server.url}/-/ready", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Prometheus is not ready after 30 s:\n{log.read_text()}")
