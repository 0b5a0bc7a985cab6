"""KServe's payload logger as it sends, to a real service that is killed: what was acknowledged is joined, once."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from service_process import ServiceProcess

from seamark.store.lakes import open_ducklake as open_lake

LOGGERS = 4
INFERENCES = 20  # acknowledged before each kill, at least


def event(half: str, inference_id: str, body: bytes, content_type: str) -> dict[str, str]:
    """The headers of kserve/pkg/logger/worker.go, spelled as Go's net/http writes them."""
    return {
        "User-Agent": "Go-http-client/1.1",
        "Content-Length": str(len(body)),
        "Ce-Component": "predictor",
        "Ce-Endpoint": "default",
        "Ce-Id": inference_id,
        "Ce-Inferenceservicename": "killed",
        "Ce-Metadata": "{}",
        "Ce-Namespace": "shop",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Specversion": "1.0",
        "Ce-Time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "Ce-Type": f"org.kubeflow.serving.inference.{half}",
        "Content-Type": content_type,
        "Accept-Encoding": "gzip",
    }


def send(connection: http.client.HTTPConnection, half: str, inference_id: str, body: bytes, kind: str) -> int:
    """Send one half and return the answer's status."""
    connection.request("POST", "/api/v1/cloudevents", body, event(half, inference_id, body, kind))
    answer = connection.getresponse()
    answer.read()
    return answer.status


@dataclass
class Ledger:
    """Rows of each inference, and the halves of it that were acknowledged."""

    rows: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, set[str]] = field(default_factory=dict)

    def halves(self) -> int:
        """How many halves were acknowledged."""
        return sum(map(len, list(self.acknowledged.values())))


class Logger:
    """Sends inferences' halves, each once, in either order, in one protocol or the other; never again, like KServe."""

    def __init__(self, seed: int, ledger: Ledger) -> None:
        self._rng = random.Random(seed)
        self._ledger = ledger

    def run(self, port: int, stop: threading.Event) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            while not stop.is_set():
                inference_id, count = os.urandom(8).hex(), self._rng.choice([1, 3])
                self._ledger.rows[inference_id] = count
                self._ledger.acknowledged[inference_id] = set()
                halves = self._halves(count)
                for half, body, kind in halves if self._rng.random() < 0.7 else halves[::-1]:
                    try:
                        status = send(connection, half, inference_id, body, kind)
                    except (OSError, http.client.HTTPException):
                        return
                    if status == 200:
                        self._ledger.acknowledged[inference_id].add(half)

    def _halves(self, count: int) -> list[tuple[str, bytes, str]]:
        if self._rng.random() < 0.5:
            asked, answered = {"instances": [[1.5, 2.5]] * count}, {"predictions": [[0.1, 0.9]] * count}
            kind, tail = "application/json", b""
        else:
            tail = np.ones(count * 2, "<f4").tobytes()
            tensor = {
                "name": "x",
                "shape": [count, 2],
                "datatype": "FP32",
                "parameters": {"binary_data_size": len(tail)},
            }
            output = {"name": "predict", "shape": [count], "datatype": "INT64", "data": [1] * count}
            asked, answered, kind = {"inputs": [tensor]}, {"outputs": [output]}, "application/octet-stream"
        return [("request", json.dumps(asked).encode() + tail, kind), ("response", json.dumps(answered).encode(), kind)]


def kill_again_and_again(data: Path, moments: int, seed: int) -> None:
    rng, ledger = random.Random(seed), Ledger()
    for moment in range(moments):
        with ServiceProcess(data) as service:
            stop = threading.Event()
            loggers = [Logger(seed * 100 + moment * 10 + n, ledger) for n in range(LOGGERS)]
            threads = [threading.Thread(target=one.run, args=(service.port, stop)) for one in loggers]
            for thread in threads:
                thread.start()
            wanted = ledger.halves() + INFERENCES * 2
            service.until(lambda wanted=wanted: ledger.halves() >= wanted, "the loggers to be answered", 60.0)
            time.sleep(rng.uniform(0.0, 0.5))
            service.process.kill()
            service.process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    complete = {name for name, halves in ledger.acknowledged.items() if len(halves) == 2}
    alone = {name for name, halves in ledger.acknowledged.items() if len(halves) == 1}
    assert len(complete) >= moments * (INFERENCES - 2 * LOGGERS)
    late = sorted(alone)  # the other halves of those that were cut off come now, to a process that holds nothing
    with ServiceProcess(data) as service:
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)) as connection:
            for name in late:
                missing = "response" if "request" in ledger.acknowledged[name] else "request"
                count = ledger.rows[name]
                document = (
                    {"predictions": [1] * count} if missing == "response" else {"instances": [[1.0, 2.0]] * count}
                )
                body = json.dumps(document).encode()
                assert send(connection, missing, name, body, "application/json") == 200
        expected = {
            f"{name}-{place}" if ledger.rows[name] > 1 else name
            for name in complete | alone
            for place in range(ledger.rows[name])
        }

        def total() -> bool:
            end = datetime.now(UTC).isoformat()
            found = service.get("/api/v1/models/killed/performance", start="2026-01-01T00:00:00Z", end=end)
            return bool(found["predictions"] >= len(expected))

        service.until(total, "the job to join what memory did not")
        assert service.stop() == 0
    lake = open_lake(data_dir=data, catalog_url="sqlite://")
    stored = lake.query("SELECT prediction_id AS id FROM lake.predictions")["id"].to_pylist()
    lake.close()
    assert not expected - set(stored)
    # A half may be stored though its sender never saw the 200; but nothing is there that nobody sent.
    assert {name.rpartition("-")[0] or name for name in stored} <= set(ledger.rows)
    assert len(stored) == len(set(stored))
    print(
        f"killed {moments} times: {len(complete)} inferences wholly acknowledged, {len(alone)} by one half,"
        f" {len(expected)} predictions, none missing, none twice"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_kills_lose_no_half_that_was_acknowledged(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", moments=3, seed=3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thirty_kills_lose_no_half_that_was_acknowledged(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", moments=30, seed=30)
