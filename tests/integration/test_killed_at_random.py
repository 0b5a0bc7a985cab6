"""SIGKILL at random moments under load: what was acknowledged is there, once, and no file stays that nobody names."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service_process import ServiceProcess

from seamark.store.lakes import open_ducklake as open_lake

SPANS, ROWS = 60, 40  # per request
SENDERS = 3  # of each kind
NAMED = """
    SELECT path FROM ducklake_data_file UNION SELECT path FROM ducklake_delete_file
    UNION SELECT path FROM ducklake_files_scheduled_for_deletion
"""


@dataclass
class Ledger:
    """What senders sent, and what the service said it has."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)


class Sender:
    """Sends batch after batch; one that was not answered is sent again with the same ids, as an SDK does."""

    def __init__(self, kind: str, ledger: Ledger) -> None:
        self._make = self._spans if kind == "spans" else self._predictions
        self._ledger = ledger
        self._batch: tuple[list[str], str, dict[str, object]] | None = None

    def run(self, url: str, stop: threading.Event) -> None:
        with httpx.Client(base_url=url, timeout=10.0, trust_env=False) as client:
            while not stop.is_set():
                ids, path, body = self._batch = self._batch or self._make()
                self._ledger.sent.update(ids)
                try:
                    answer = client.post(path, **body)  # type: ignore[arg-type]
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self._ledger.acknowledged.update(ids)
                    self._batch = None

    def _spans(self) -> tuple[list[str], str, dict[str, object]]:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "killed"
        scope, now_ns = group.scope_spans.add(), time.time_ns()
        ids = [os.urandom(8) for _ in range(SPANS)]
        for span_id in ids:
            times = {"start_time_unix_nano": now_ns - 1_000_000, "end_time_unix_nano": now_ns}
            scope.spans.add(trace_id=span_id * 2, span_id=span_id, name="GET /", kind=2, **times)
        headers = {"Content-Type": "application/x-protobuf"}
        return [one.hex() for one in ids], "/v1/traces", {"content": request.SerializeToString(), "headers": headers}

    def _predictions(self) -> tuple[list[str], str, dict[str, object]]:
        ids = [os.urandom(8).hex() for _ in range(ROWS)]
        rows = [{"model": "killed", "prediction_id": one, "features": {"x": 1.0}, "prediction": 0} for one in ids]
        return ids, "/api/v1/predictions", {"json": rows}


def files_named(data: Path) -> set[str]:
    with sqlite3.connect(f"file:{data / 'lake.sqlite'}?mode=ro", uri=True) as catalog:
        return {Path(path).name for (path,) in catalog.execute(NAMED)}


def files_there(data: Path) -> set[str]:
    return {path.name for path in (data / "lake").rglob("*.parquet")}


def only_named_files(service: ServiceProcess, data: Path) -> None:
    def found() -> bool:
        there, named = files_there(data), files_named(data)
        return there == named

    service.until(found, "every file to be one the lake names")


def kill_again_and_again(data: Path, moments: int, seed: int) -> None:
    rng = random.Random(seed)
    ledgers = {"spans": Ledger(), "predictions": Ledger()}
    senders = [Sender(kind, ledger) for kind, ledger in ledgers.items() for _ in range(SENDERS)]
    for moment in range(moments):
        with ServiceProcess(data) as service:
            if moment % 2:  # else rows arrive while the first upkeep sweeps and merges
                only_named_files(service, data)
            stop = threading.Event()
            threads = [threading.Thread(target=sender.run, args=(service.url, stop)) for sender in senders]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.2, 2.0))
            service.process.kill()
            service.process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    assert all(len(ledger.acknowledged) > 100 for ledger in ledgers.values())
    with ServiceProcess(data) as service:
        only_named_files(service, data)
        points = service.get("/api/v1/models/killed/latency", start=time.time() - 3600, end=time.time() + 60, step=3660)
        assert service.stop() == 0
    lake = open_lake(data_dir=data, catalog_url="sqlite://")
    spans = lake.query("SELECT DISTINCT hex(span_id) AS id FROM lake.spans")["id"].to_pylist()
    predictions = lake.query("SELECT DISTINCT prediction_id AS id FROM lake.predictions")["id"].to_pylist()
    rows = lake.query("SELECT (SELECT count(*) FROM lake.spans) AS spans, (SELECT count(*) FROM lake.predictions) AS p")
    lake.close()
    assert rows["spans"][0].as_py() == len(spans)
    for kind, stored in (("spans", {one.lower() for one in spans}), ("predictions", set(predictions))):
        assert not ledgers[kind].acknowledged - stored
        assert not stored - ledgers[kind].sent
    assert sum(point["count"] for point in points) == len(spans)
    print(
        f"killed {moments} times: {', '.join(f'{len(one.acknowledged)} {kind}' for kind, one in ledgers.items())}"
        " acknowledged, none missing, none twice"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", moments=5, seed=5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thirty_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", moments=30, seed=30)
