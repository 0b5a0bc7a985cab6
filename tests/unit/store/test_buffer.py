"""The group commit: everything durable before it returns, nothing lost, nothing doubled, one bad request alone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.lake_rows import AT, predictions, spans

from seamark.core.clock import ManualClock
from seamark.core.errors import BufferFull, Invalid, StoreUnavailable, TryLater
from seamark.store.buffer import WriteBuffer
from seamark.store.lake import LakeHealth
from seamark.store.local_lake import LocalLake

ROOM = 1_000_000


class HeldLake:
    """A lake whose commits wait for permission and fail as told; it keeps what it took."""

    def __init__(self) -> None:
        self.commits: list[dict[str, list[Any]]] = []
        self.tried = 0
        self.go = threading.Semaphore(0)
        self.errors: list[Exception | None] = []

    def append(self, tables: Mapping[str, pa.Table]) -> None:
        self.tried += 1
        assert self.go.acquire(timeout=20)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if any(table.column_names == ["poison"] for table in tables.values()):
            raise Invalid("rows do not fit the lake")
        ids_of = {"spans": "span_id", "predictions": "prediction_id"}
        ids = {name: table[ids_of[name]].to_pylist() for name, table in tables.items()}
        self.commits.append(ids)

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pa.Table:
        raise NotImplementedError

    def maintain(self, at: datetime, keep_days: float | None) -> bool:
        raise NotImplementedError

    def health(self) -> LakeHealth:
        raise NotImplementedError

    def close(self) -> None:
        self.go.release(10_000)

    @property
    def rows(self) -> list[Any]:
        return [row for commit in self.commits for ids in commit.values() for row in ids]


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def test_rows_are_durable_when_append_returns(lake: LocalLake) -> None:
    told: list[tuple[float, int]] = []

    def tell(seconds: float, tables: Any) -> None:
        told.append((seconds, sum(table.num_rows for table in tables.values())))

    async def story() -> None:
        buffer = WriteBuffer(lake, rows_max=ROOM, on_commit=tell)
        await buffer.start()
        await buffer.append({"spans": spans(10, model="durable"), "predictions": predictions(3, model="durable")})
        for table, rows in (("spans", 10), ("predictions", 3)):
            found = lake.query(f"SELECT count(*) AS n FROM lake.{table} WHERE model = 'durable'")
            assert found["n"][0].as_py() == rows
        assert buffer.waiting_rows == 0
        await buffer.drain(10)

    run(story())
    assert [rows for _, rows in told] == [13]
    assert told[0][0] > 0


def test_what_arrives_during_a_commit_is_the_next_group() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        first = asyncio.create_task(buffer.append({"spans": spans(1)}))
        await until(lambda: lake.tried == 1)
        rest = [asyncio.create_task(buffer.append({"spans": spans(2, first=2 * n)})) for n in range(1, 6)]
        rest.append(asyncio.create_task(buffer.append({"predictions": predictions(4)})))
        await until(lambda: buffer.waiting_rows == 1 + 10 + 4)
        lake.go.release()
        await first
        assert not any(task.done() for task in rest)
        lake.go.release()
        await asyncio.gather(*rest)
        assert [{name: len(ids) for name, ids in commit.items()} for commit in lake.commits] == [
            {"spans": 1},
            {"spans": 10, "predictions": 4},
        ]
        await buffer.drain(5)

    run(story())


def test_a_group_is_no_larger_than_one_commit_may_be_and_a_large_request_goes_alone() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM, commit_rows_max=10)
        await buffer.start()
        sizes = [1, 4, 5, 2, 25, 3]
        tasks = []
        for size in sizes:
            tasks.append(asyncio.create_task(buffer.append({"spans": spans(size)})))
            await until(lambda: lake.tried == 1)
        lake.go.release(10)
        await asyncio.gather(*tasks)
        assert [len(commit["spans"]) for commit in lake.commits] == [1, 9, 2, 25, 3]
        await buffer.drain(5)

    run(story())


def test_more_than_the_buffer_holds_is_refused_and_told_to_come_again() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=10)
        await buffer.start()
        large = asyncio.create_task(buffer.append({"spans": spans(12)}))  # nothing waits: let in alone
        await until(lambda: lake.tried == 1)
        with pytest.raises(BufferFull, match="12 rows wait") as refused:
            await buffer.append({"spans": spans(1)})
        assert refused.value.status == 503
        assert refused.value.retry_after_s
        lake.go.release(10)
        await large
        await buffer.append({"spans": spans(10)})
        assert len(lake.rows) == 22
        await buffer.drain(5)

    run(story())


def test_when_the_store_is_down_all_of_a_group_fail_and_later_ones_do_not() -> None:
    async def story() -> None:
        lake = HeldLake()
        lake.errors = [None, StoreUnavailable("disk full")]
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        first = asyncio.create_task(buffer.append({"spans": spans(1)}))
        await until(lambda: lake.tried == 1)
        group = [asyncio.create_task(buffer.append({"spans": spans(1)})) for _ in range(3)]
        await until(lambda: buffer.waiting_rows == 4)
        lake.go.release(10)
        await first
        results = await asyncio.gather(*group, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert lake.tried == 2
        await buffer.append({"spans": spans(1)})
        assert len(lake.commits) == 2
        assert buffer.waiting_rows == 0
        await buffer.drain(5)

    run(story())


@pytest.mark.parametrize("down_after", [None, 1])
def test_one_bad_request_fails_alone(down_after: int | None) -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        first = asyncio.create_task(buffer.append({"spans": spans(1)}))
        await until(lambda: lake.tried == 1)
        poison = {"labels": pa.table({"poison": [1]})}
        group = [{"spans": spans(1, first=1)}, poison, {"spans": spans(1, first=2)}, {"spans": spans(1, first=3)}]
        tasks = [asyncio.create_task(buffer.append(tables)) for tables in group]
        await until(lambda: buffer.waiting_rows == 5)
        if down_after:  # first commit, the group, its first request, then the store goes away
            lake.errors = [None, Invalid("a bad one among them"), None, StoreUnavailable("gone")]
        lake.go.release(20)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await first
        if down_after:
            assert [type(result) for result in results] == [type(None), *[StoreUnavailable] * 3]
        else:
            assert [type(result) for result in results] == [type(None), Invalid, type(None), type(None)]
            assert len(lake.rows) == len(set(lake.rows)) == 4
        assert buffer.waiting_rows == 0
        await buffer.drain(5)

    run(story())


def test_a_bad_request_beside_good_ones_in_a_real_lake(lake: LocalLake) -> None:
    async def story() -> None:
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        bad = spans(1, model="beside").drop_columns(["version"])
        tasks = [
            asyncio.create_task(buffer.append({"spans": t}))
            for t in (spans(2, model="beside"), bad, spans(3, first=2, model="beside"))
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), Invalid, type(None)]
        await buffer.drain(10)

    run(story())
    assert lake.query("SELECT count(*) AS n FROM lake.spans WHERE model = 'beside'")["n"][0].as_py() == 5


def test_a_cancelled_request_neither_loses_nor_doubles_others() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        first = asyncio.create_task(buffer.append({"spans": spans(1)}))
        await until(lambda: lake.tried == 1)
        tasks = [asyncio.create_task(buffer.append({"spans": spans(1, first=n)})) for n in range(1, 5)]
        await until(lambda: buffer.waiting_rows == 5)
        first.cancel()  # its commit has begun
        tasks[1].cancel()  # still waits
        await asyncio.sleep(0)
        lake.go.release(10)
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        cancelled = [isinstance(result, asyncio.CancelledError) for result in results]
        assert cancelled == [True, False, True, False, False]
        stored = [int.from_bytes(row, "big") - 1 for row in lake.rows]
        assert stored == [0, 1, 3, 4]
        assert buffer.waiting_rows == 0
        await buffer.drain(5)

    run(story())


def test_draining_commits_what_waits_and_takes_nothing_more() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        tasks = [asyncio.create_task(buffer.append({"spans": spans(1, first=n)})) for n in range(3)]
        await until(lambda: lake.tried == 1)
        draining = asyncio.create_task(buffer.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(TryLater):
            await buffer.append({"spans": spans(1)})
        lake.go.release(10)
        await asyncio.gather(draining, *tasks)
        assert len(lake.rows) == 3
        await buffer.drain(1)  # again does nothing

    run(story())


def test_a_drain_that_takes_too_long_fails_what_is_left() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        await buffer.start()
        tasks = [asyncio.create_task(buffer.append({"spans": spans(1)})) for _ in range(3)]
        await until(lambda: lake.tried == 1)
        await buffer.drain(0.05)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert buffer.waiting_rows == 0
        lake.close()  # let the held thread end

    run(story())


def test_wide_rows_are_bounded_by_their_bytes() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM, bytes_max=50_000)
        await buffer.start()
        large = asyncio.create_task(buffer.append({"spans": spans(2, resource="x" * 60_000)}))
        await until(lambda: lake.tried == 1)
        with pytest.raises(BufferFull, match="bytes of rows wait"):
            await buffer.append({"spans": spans(1)})
        lake.go.release(10)
        await large
        await buffer.append({"spans": spans(1)})
        await buffer.drain(5)

    run(story())


def test_nothing_is_taken_before_the_start_and_no_rows_need_no_commit() -> None:
    async def story() -> None:
        lake = HeldLake()
        buffer = WriteBuffer(lake, rows_max=ROOM)
        with pytest.raises(TryLater):
            await buffer.append({"spans": spans(1)})
        await buffer.start()
        await buffer.append({})
        await buffer.append({"spans": spans(0)})
        assert lake.tried == 0
        await buffer.drain(5)

    run(story())


def test_who_counts_commits_cannot_stop_them(caplog: pytest.LogCaptureFixture) -> None:
    def broken(seconds: float, tables: Any) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        lake = HeldLake()
        lake.go.release(10)
        buffer = WriteBuffer(lake, rows_max=ROOM, on_commit=broken, clock=ManualClock(AT))
        await buffer.start()
        await buffer.append({"spans": spans(1)})
        await buffer.append({"spans": spans(1)})
        assert len(lake.commits) == 2
        await buffer.drain(5)

    run(story())
    assert "counting a commit failed" in caplog.text


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_acknowledged_are_stored_once(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)

    async def story() -> None:
        lake = HeldLake()
        lake.go.release(10_000)
        lake.errors = [rng.choice([None, None, StoreUnavailable("busy"), RuntimeError("odd")]) for _ in range(40)]
        buffer = WriteBuffer(lake, rows_max=40, commit_rows_max=16)
        await buffer.start()
        tasks: dict[int, asyncio.Task[None]] = {}
        for number in range(200):
            tasks[number] = asyncio.create_task(buffer.append({"spans": spans(1, first=number)}))
            if rng.random() < 0.3:
                await asyncio.sleep(0)
            if rng.random() < 0.1:
                tasks[rng.choice(list(tasks))].cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        await buffer.drain(10)
        acknowledged = {number for number, result in zip(tasks, results, strict=True) if result is None}
        stored = [int.from_bytes(row, "big") - 1 for row in lake.rows]
        assert acknowledged
        assert acknowledged <= set(stored)
        assert len(stored) == len(set(stored))
        assert buffer.waiting_rows == 0

    run(story())
