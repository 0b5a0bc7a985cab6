"""Rows of many requests to one commit of the lake: each request returns when its rows are durable.

append() ──> queue ──> committer: [all that waits] ──> lake.append() in a thread ──> every append() returns
                          ^                                    |
                          └── while one commit runs, the next group gathers: no timer, no fixed delay
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from seamark.core.clock import Clock, SystemClock
from seamark.core.errors import BufferFull, StoreUnavailable, TryLater
from seamark.store.lake import Lake

_LOG = logging.getLogger(__name__)

RELEASE_EVERY = 32  # commits; more often costs more than it saves


@dataclass(eq=False)
class _Request:
    """One append() on its way; `done` ends it."""

    tables: Mapping[str, pa.Table]
    rows: int
    size: int  # in bytes
    done: asyncio.Future[None]


class WriteBuffer:
    """Group commit in front of a lake. It belongs to the event loop that start() ran in."""

    def __init__(
        self,
        lake: Lake,
        *,
        rows_max: int,
        bytes_max: int = 256 * 1024 * 1024,
        commit_rows_max: int = 65_536,
        on_commit: Callable[[float, Mapping[str, pa.Table]], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Hold at most `rows_max` rows and `bytes_max` bytes that are not durable yet.

        One commit takes `commit_rows_max` rows at most.

        `on_commit(seconds, tables)` is told of every successful commit and what it stored, in the committing thread.
        """
        self._lake = lake
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._commit_rows_max = commit_rows_max
        self._on_commit = on_commit
        self._clock = clock or SystemClock()
        self._queue: deque[_Request] = deque()
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._commits = 0
        self._arrived = asyncio.Event()
        self._accepting = False
        self._task: asyncio.Task[None] | None = None
        self._open: set[_Request] = set()  # queued, or in the running commit
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lake-commit")

    @property
    def waiting_rows(self) -> int:
        """Rows that were handed in and are not durable yet, those of the running commit included."""
        return self._waiting_rows

    async def start(self) -> None:
        """Begin to accept and commit."""
        self._accepting = True
        self._task = asyncio.create_task(self._commit_groups(), name="lake-commit")

    async def append(self, tables: Mapping[str, pa.Table]) -> None:
        """Return when every row is durable; until then nothing may be acknowledged.

        BufferFull when too much waits already (a request larger than the whole buffer is let in alone), TryLater while
        draining, StoreUnavailable when the commit failed, Invalid when the lake refuses these rows as they are. A
        caller that is cancelled leaves no trace unless its commit had begun.
        """
        rows = sum(table.num_rows for table in tables.values())
        if not self._accepting:
            raise TryLater("the service is shutting down and takes no more rows; send them again in a moment")
        if not rows:
            return
        if self._waiting_rows and self._waiting_rows + rows > self._rows_max:
            raise BufferFull(
                f"{self._waiting_rows} rows wait to be stored and {rows} more would exceed {self._rows_max};"
                " send them again in a moment"
            )
        size = sum(table.nbytes for table in tables.values())
        if self._waiting_rows and self._waiting_bytes + size > self._bytes_max:
            raise BufferFull(
                f"{self._waiting_bytes:,} bytes of rows wait to be stored and {size:,} more would exceed"
                f" {self._bytes_max:,}; send them again in a moment"
            )
        request = _Request(tables, rows, size, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._open.add(request)
        self._waiting_rows += rows
        self._waiting_bytes += size
        self._arrived.set()
        await request.done

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, commit what waits, and end; after `timeout_s` whatever still waits fails."""
        self._accepting = False
        self._arrived.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, timeout_s)
            self._task = None
        late = StoreUnavailable("the service shut down before these rows were stored; send them again")
        self._finish([*self._open], late)
        self._queue.clear()
        self._thread.shutdown(wait=False)

    async def _commit_groups(self) -> None:
        while self._accepting or self._queue:
            await self._arrived.wait()
            self._arrived.clear()
            while group := self._next_group():
                await self._commit_group(group)

    def _next_group(self) -> list[_Request]:
        """Take requests up to the size of one commit, at least one; those whose sender has gone are dropped."""
        group: list[_Request] = []
        rows = 0
        while self._queue:
            request = self._queue[0]
            if request.done.cancelled():
                self._finish([self._queue.popleft()], None)
                continue
            if group and rows + request.rows > self._commit_rows_max:
                break
            rows += request.rows
            group.append(self._queue.popleft())
        return group

    async def _commit_group(self, group: list[_Request]) -> None:
        """Commit together; where the rows themselves were refused, one by one, so that only the bad one fails."""
        error = await self._commit(group)
        if error is None or len(group) == 1 or isinstance(error, StoreUnavailable):
            self._finish(group, error)
            return
        down: StoreUnavailable | None = None
        for request in group:
            error = down or await self._commit([request])
            down = error if isinstance(error, StoreUnavailable) else down
            self._finish([request], error)

    async def _commit(self, group: list[_Request]) -> Exception | None:
        """Commit in the thread; return what went wrong."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._append, [request.tables for request in group])
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and the committer goes on
            return error
        return None

    def _tell(self, seconds: float, tables: Mapping[str, pa.Table]) -> None:
        if self._on_commit is None:
            return
        try:
            self._on_commit(seconds, tables)
        except Exception:  # noqa: BLE001 - the rows are durable whoever fails to count them
            _LOG.exception("counting a commit failed")

    def _append(self, requests: Sequence[Mapping[str, pa.Table]]) -> None:
        names = {name: None for tables in requests for name in tables}
        joined = {name: _join([tables[name] for tables in requests if name in tables]) for name in names}
        started_s = self._clock.monotonic_s()
        stored = self._lake.append(joined)
        self._commits += 1
        if self._commits % RELEASE_EVERY == 0:
            # What the rows of busy seconds took is given back: by itself the pool keeps it.
            pa.default_memory_pool().release_unused()
        self._tell(self._clock.monotonic_s() - started_s, stored)

    def _finish(self, group: Sequence[_Request], error: Exception | None) -> None:
        for request in group:
            self._open.discard(request)
            self._waiting_rows -= request.rows
            self._waiting_bytes -= request.size
            if request.done.done():  # its caller was cancelled, nobody waits
                continue
            if error is None:
                request.done.set_result(None)
            else:
                request.done.set_exception(error)


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
