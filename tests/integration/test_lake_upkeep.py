"""Upkeep beside a busy lake: appends never fail of it, rows stay the same, and the disk is given back."""

from __future__ import annotations

import errno
import json
import os
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.empty_stores import put_lake
from tests.lake_faults import failing_commits
from tests.lake_rows import rows_of, spans

from seamark.core.errors import StoreUnavailable
from seamark.store import merging, rewriting
from seamark.store.local_lake import LocalLake

KEPT = "SELECT count(*) AS n, count(DISTINCT span_id) AS ids, sum(duration_ns)::BIGINT AS total FROM lake.spans"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[LocalLake]:
    made = put_lake(tmp_path / "data")
    yield made
    made.close()


def files(tmp_path: Path) -> set[Path]:
    return set((tmp_path / "data" / "lake" / "main").rglob("*.parquet"))


def bytes_on_disk(tmp_path: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in files(tmp_path))


def settle(lake: LocalLake, at: datetime, keep_days: float | None = None) -> None:
    for _ in range(200):
        if not lake.maintain(at, keep_days):
            return
    raise AssertionError("upkeep does not come to an end")


def lifelike(count: int, rng: random.Random, at: datetime) -> pa.Table:
    """Spans as a busy server sends them: 4 to a trace, random ids, 12 attributes of which a few vary."""
    rows = []
    for number in range(count):
        if number % 4 == 0:
            trace, parent = rng.randbytes(16), None
            at += timedelta(microseconds=rng.randrange(20_000))
            status = 500 if rng.random() < 0.02 else 200
        span = rng.randbytes(8)
        attributes = {
            "http.request.method": "POST",
            "http.route": "/predict",
            "url.scheme": "http",
            "url.path": "/predict",
            "http.response.status_code": status,
            "server.address": "churn.prod.svc",
            "server.port": 8080,
            "network.protocol.version": "1.1",
            "user_agent.original": "python-httpx/0.28.1",
            "client.address": f"10.0.{rng.randrange(20)}.7",
            "http.request.body.size": rng.randrange(200, 4000),
            "enduser.id": f"u-{rng.randrange(5000)}",
        }
        rows.append(
            {
                "trace_id": trace,
                "span_id": span,
                "parent_span_id": parent,
                "start_at": at + timedelta(microseconds=rng.randrange(2000)),
                "duration_ns": int(rng.lognormvariate(15.5, 0.6)),
                "attributes": json.dumps(attributes, separators=(",", ":")),
                "instance": f"pod-{rng.randrange(20)}",
                "http_status": status,
                "failed": status == 500,
                "events": None,
                "received_at": at,
            }
        )
        parent = parent or span
    return rows_of("spans", rows)


def test_appends_go_on_beside_merges_and_every_row_is_there_once(lake: LocalLake, tmp_path: Path) -> None:
    done, failed = threading.Event(), []

    def append() -> None:
        number = 0
        while not done.is_set() or number < 40:
            try:
                lake.append({"spans": spans(20, first=20 * number, duration_ns=number, start_at=datetime.now(UTC))})
            except StoreUnavailable as error:
                failed.append(error)
            number += 1
        appended.append(number)

    appended: list[int] = []
    appending = threading.Thread(target=append)
    appending.start()
    for _ in range(15):
        lake.maintain(datetime.now(UTC), 30)
    done.set()
    appending.join()
    assert not failed
    settle(lake, datetime.now(UTC) + timedelta(hours=1))
    rows = 20 * appended[0]
    total = 20 * sum(range(appended[0]))
    assert lake.query(KEPT).to_pylist() == [{"n": rows, "ids": rows, "total": total}]
    assert lake.health().files < appended[0] / 2


def test_lifelike_spans_take_less_than_60_bytes_each_after_merging(lake: LocalLake) -> None:
    rng = random.Random(4)
    now = datetime.now(UTC)
    for number in range(16):
        lake.append({"spans": lifelike(1024, rng, now + timedelta(seconds=10 * number))})
    appended = lake.health().data_bytes
    settle(lake, now)
    health = lake.health()
    assert health.files <= 2
    assert health.data_bytes < 60 * 16 * 1024
    assert health.data_bytes < appended


def test_retention_gives_back_the_bytes_of_the_days_it_drops(lake: LocalLake, tmp_path: Path) -> None:
    rng = random.Random(5)
    now = datetime.now(UTC)
    for day in range(8, 0, -1):
        for part in range(merging.STEP):
            at = now - timedelta(days=day) + timedelta(hours=2, minutes=part)
            lake.append({"spans": lifelike(256, rng, at)})
    settle(lake, now)
    for minutes in (5, 10):
        settle(lake, now + timedelta(minutes=minutes))
    assert len(files(tmp_path)) < 2 * merging.STEP
    all_days = bytes_on_disk(tmp_path)
    settle(lake, now + timedelta(minutes=20), 4)
    for minutes in (22, 24):
        settle(lake, now + timedelta(minutes=minutes), 4)
    left = lake.query("SELECT min(start_at) AS oldest, count(*) AS n FROM lake.spans").to_pylist()[0]
    assert left["oldest"] >= now - timedelta(days=4, hours=1)
    assert left["n"] == 4 * merging.STEP * 256
    assert bytes_on_disk(tmp_path) < 0.6 * all_days


def test_rows_from_the_far_future_go_by_their_arrival(lake: LocalLake) -> None:
    now = datetime.now(UTC)
    lake.append({"spans": spans(3, start_at=now + timedelta(days=60_000), received_at=now)})
    lake.append({"spans": spans(4, first=3, start_at=now, received_at=now)})
    settle(lake, now + timedelta(days=3), 4)
    assert lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py() == 7
    settle(lake, now + timedelta(days=6), 4)
    assert lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py() == 0


@pytest.mark.parametrize("after", [True, False])
def test_a_swap_whose_commit_fails_leaves_every_row_once(lake: LocalLake, tmp_path: Path, after: bool) -> None:
    for number in range(merging.STEP):
        lake.append({"spans": spans(5, first=5 * number)})
    before, kept = lake.query(KEPT).to_pylist(), files(tmp_path)
    with failing_commits(lake, after=after):
        if after:
            lake.maintain(datetime.now(UTC), None)  # it was swapped after all
        else:
            with pytest.raises(StoreUnavailable, match="broke"):
                lake.maintain(datetime.now(UTC), None)
            assert kept < files(tmp_path)  # what the disk may still turn out to have committed stays
    assert lake.query(KEPT).to_pylist() == before
    settle(lake, datetime.now(UTC))
    assert lake.query(KEPT).to_pylist() == before
    assert lake.health().files == 1


def test_a_merge_that_read_other_rows_than_it_would_replace_is_given_up(
    lake: LocalLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(merging.STEP):
        lake.append({"spans": spans(5, first=5 * number)})
    before, kept = lake.query(KEPT).to_pylist(), files(tmp_path)

    def short(table: str, sources: Any, target: Path, **options: Any) -> int:
        return merging.merge_files(table, sources[1:], target, **options)

    monkeypatch.setattr(rewriting, "merge_files", short)
    with pytest.raises(StoreUnavailable, match="left as it was"):
        lake.maintain(datetime.now(UTC), None)
    assert lake.query(KEPT).to_pylist() == before
    assert files(tmp_path) == kept


@pytest.mark.parametrize("call", ["append", "merge"])
def test_a_disk_that_fails_at_fsync_refuses_and_recovers(
    lake: LocalLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for number in range(merging.STEP):
        lake.append({"spans": spans(5, first=5 * number)})
    before, kept = lake.query(KEPT).to_pylist(), files(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            if call == "append":
                lake.append({"spans": spans(5, first=1000)})
            else:
                lake.maintain(datetime.now(UTC), None)
    assert lake.query(KEPT).to_pylist() == before
    assert files(tmp_path) == kept
    settle(lake, datetime.now(UTC))
    assert lake.query(KEPT).to_pylist() == before
    assert lake.health().files == 1
    lake.append({"spans": spans(5, first=1000)})


@pytest.mark.slow
def test_the_catalog_stops_growing_while_rows_keep_coming(lake: LocalLake, tmp_path: Path) -> None:
    sizes = []
    for round_ in range(6):
        for number in range(40):
            lake.append({"spans": spans(2, first=2 * (40 * round_ + number))})
        for seconds in (120, 240):
            settle(lake, datetime.now(UTC) + timedelta(seconds=seconds))
        sizes.append((tmp_path / "data" / "lake.sqlite").stat().st_size)
        assert len(files(tmp_path)) < 3 * merging.STEP
    assert sizes[-1] <= 1.5 * sizes[1]  # of some forty pages each, a few for the files that live


def test_old_rows_whose_file_could_not_be_rewritten_go_with_the_next_step(
    lake: LocalLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    old = spans(1, start_at=now - timedelta(days=5), received_at=now)
    lake.append({"spans": pa.concat_tables([old, spans(1, first=1, start_at=now, received_at=now)])})
    with monkeypatch.context() as broken:
        broken.setattr(rewriting, "merge_files", lambda *_, **__: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(StoreUnavailable, match="no space"):
            lake.maintain(now, 4)
    settle(lake, now, 4)
    assert lake.query("SELECT span_id FROM lake.spans").num_rows == 1
