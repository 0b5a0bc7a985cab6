"""Hold-out rows become real requests at a steady rate, and the truth about most of them follows some seconds later.

Open loop: a request goes out when it is due, whether or not earlier ones were answered. Commands come as lines on
standard input (`shift`, `normal`); its end ends the traffic. Every second a JSON line says how much was sent so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import data

MODEL = "doctor-visits"
IN_FLIGHT_MAX = 300
LABELS_WAITING_MAX = 50_000


@dataclass
class Counts:
    """What happened so far."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    not_sent: int = 0  # due while too many were in flight
    labels: int = 0
    shifted: bool = False


@dataclass
class Traffic:
    """A steady stream of requests to `target`, and of labels to the Seamark at `seamark`."""

    target: str
    seamark: str
    rate_rps: float
    label_lag_s: float = 3.0
    label_ratio: float = 0.85
    seed: int = 7
    counts: Counts = field(default_factory=Counts)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, seconds: float | None) -> Counts:
        """Send until told to stop, for at most `seconds`; then wait for the answers and send the last labels."""
        self._chance = np.random.default_rng(self.seed)
        self._labels: deque[tuple[float, dict[str, Any]]] = deque(maxlen=LABELS_WAITING_MAX)
        limits = httpx.Limits(max_connections=IN_FLIGHT_MAX, max_keepalive_connections=20)
        async with httpx.AsyncClient(timeout=10.0, limits=limits, trust_env=False) as http:
            labels = asyncio.create_task(self._send_labels(http))
            await self._send_requests(http, seconds)
            self.stopping.set()
            await labels
        return self.counts

    async def _send_requests(self, http: httpx.AsyncClient, seconds: float | None) -> None:
        _, holdout = data.load()
        began_s = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while not self.stopping.is_set() and (seconds is None or number < seconds * self.rate_rps):
            await _wait(self.stopping, began_s + number / self.rate_rps - time.monotonic())
            if self.stopping.is_set():
                break
            place = number % len(holdout.rows)
            row = holdout.rows[place]
            if self.counts.shifted:
                row = data.shifted(row, self._chance)
            if len(tasks) < IN_FLIGHT_MAX:
                task = asyncio.create_task(self._ask(http, row, holdout.labels[place]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                self.counts.not_sent += 1
            number += 1
        await asyncio.gather(*tasks)

    async def _ask(self, http: httpx.AsyncClient, row: data.Row, truth: int) -> None:
        self.counts.sent += 1
        try:
            answer = await http.post(f"{self.target}/predict", json=row)
            answer.raise_for_status()
            prediction_id = answer.json()["prediction_id"]
        except (httpx.HTTPError, ValueError, KeyError):
            self.counts.failed += 1
            return
        self.counts.answered += 1
        if self._chance.random() < self.label_ratio:
            label = {"model": MODEL, "prediction_id": prediction_id, "label": truth}
            self._labels.append((time.monotonic() + self.label_lag_s, label))

    async def _send_labels(self, http: httpx.AsyncClient) -> None:
        ending = False
        while not ending:
            await _wait(self.stopping, 1.0)
            ending = self.stopping.is_set()  # then once more, with what is due
            now_s = time.monotonic()
            due: list[tuple[float, dict[str, Any]]] = []
            while self._labels and self._labels[0][0] <= now_s:
                due.append(self._labels.popleft())
            if due and not await self._post_labels(http, [label for _, label in due]):
                self._labels.extendleft(reversed(due))  # the same again in a second

    async def _post_labels(self, http: httpx.AsyncClient, labels: list[dict[str, Any]]) -> bool:
        at = datetime.now(UTC).isoformat()
        try:
            answer = await http.post(f"{self.seamark}/api/v1/labels", json=[{**label, "at": at} for label in labels])
            answer.raise_for_status()
            self.counts.labels += int(answer.json()["accepted"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            print(f"labels not taken: {error}", file=sys.stderr, flush=True)
            return False
        return True


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), max(seconds, 0.0))
    except TimeoutError:
        return


async def _obey(traffic: Traffic) -> None:
    """Do what the lines on standard input say; its end stops the traffic."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word = line.decode().strip()
        if word in ("shift", "normal"):
            traffic.counts.shifted = word == "shift"
    traffic.stopping.set()


async def _tell(traffic: Traffic) -> None:
    while True:
        print(json.dumps(asdict(traffic.counts)), flush=True)
        await asyncio.sleep(1.0)


async def _main(arguments: argparse.Namespace) -> Counts:
    traffic = Traffic(arguments.target, arguments.seamark, arguments.rps)
    beside = [asyncio.create_task(_tell(traffic))]
    if arguments.obey:
        beside.append(asyncio.create_task(_obey(traffic)))
    try:
        return await traffic.run(arguments.seconds)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def main() -> None:
    """Send traffic as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="http://127.0.0.1:8080")
    parser.add_argument("--seamark", default="http://127.0.0.1:8000")
    parser.add_argument("--rps", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=None, help="how long; without it until stopped")
    parser.add_argument("--obey", action="store_true", help="read commands from standard input; its end stops")
    try:
        print(json.dumps(asdict(asyncio.run(_main(parser.parse_args())))), flush=True)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
