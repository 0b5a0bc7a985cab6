"""A request body that was stored a moment ago, or is being stored now, is answered again without being stored twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

ANSWERS_MAX = 4_096
KEEP_S = 900.0  # senders give a batch up within minutes


class RecentBodies:
    """Answers to bodies whose rows are durable, by key; bounded in number and age. For one event loop."""

    def __init__(self, answers_max: int = ANSWERS_MAX, keep_s: float = KEEP_S) -> None:
        self._answers_max = answers_max
        self._keep_s = keep_s
        self._answers: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._running: dict[Hashable, asyncio.Future[None]] = {}

    async def once(self, key: Hashable, now_s: float, store: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what `store` answered to this key lately, else call it and remember its answer.

        Who comes while the first is at it waits; where the first fails, the next one tries. A failure is not
        remembered. `now_s` is the monotonic clock.
        """
        while True:
            answer = self._remembered(key, now_s)
            if answer is not None:
                return answer
            running = self._running.get(key)
            if running is None:
                break
            await asyncio.wait([running])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running[key] = done
        try:
            answer = await store()
            self._remember(key, now_s, answer)
            return answer
        finally:
            del self._running[key]
            done.set_result(None)

    def _remembered(self, key: Hashable, now_s: float) -> bytes | None:
        at_s, answer = self._answers.get(key, (now_s, None))
        return answer if now_s - at_s <= self._keep_s else None

    def _remember(self, key: Hashable, now_s: float, answer: bytes) -> None:
        self._answers[key] = (now_s, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._answers_max:
            self._answers.popitem(last=False)
