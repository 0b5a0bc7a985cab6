"""Trace requests that wait become rows together: one call decodes them all, in a thread, while the next ones gather."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from seamark.core.errors import SeamarkError
from seamark.core.records import Decoded
from seamark.wire.otlp import Encoding, decode_many_traces

GROUP_MAX = 32  # bodies decoded in one call
GROUP_BYTES_MAX = 4 * 1024 * 1024  # of all but the first: a large body goes alone, and what is decoded stays in cache


@dataclass(eq=False)
class _Waiting:
    body: bytes
    received_at: datetime
    done: asyncio.Future[Decoded]


class DecodeQueue:
    """Decodes requests of one encoding in a thread: more would only share the interpreter. For one event loop.

    It is as long as bodies may be in flight: whoever hands one in holds its bytes until it is answered.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")

    async def decode(self, body: bytes, received_at: datetime) -> Decoded:
        """Return what one body decodes to, or raise why it does not."""
        waiting = _Waiting(body, received_at, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="decode")
        return await waiting.done

    async def _run(self) -> None:
        while group := self._next_group():
            bodies, instants = [w.body for w in group], [w.received_at for w in group]
            loop = asyncio.get_running_loop()
            try:
                work = partial(decode_many_traces, bodies, self._encoding, received_at=instants)
                found = await loop.run_in_executor(self._thread, work)
            except Exception as error:  # noqa: BLE001 - whoever waits is told, and the next group has its turn
                _fail(group, error)
                continue
            for waiting, one in zip(group, found, strict=True):
                if waiting.done.done():  # its sender has gone
                    continue
                if isinstance(one, SeamarkError):
                    waiting.done.set_exception(one)
                else:
                    waiting.done.set_result(one)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._queue and len(group) < GROUP_MAX:
            size += len(self._queue[0].body)
            if group and size > GROUP_BYTES_MAX:
                break
            waiting = self._queue.popleft()
            if not waiting.done.cancelled():
                group.append(waiting)
        return group


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(error)
