"""Halves of inferences that arrive apart -> predictions: at once where this process holds the first, else by a job.

A half is durable before it is acknowledged, whether it waits or is joined. What is held in memory only spares reading
it again; whatever is pushed out of it, or was in it when a process died, is found in the lake.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa

from seamark.core.feature_types import TypesOf
from seamark.core.inference import REQUEST, Half, Key
from seamark.core.records import Decoded, FeatureSchema
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import inference_payloads
from seamark.store.inference_payloads import Pair
from seamark.wire.inference import Joined, join

log = logging.getLogger(__name__)

WAIT_S = 900.0  # from the first half of an inference to the second; after that it counts as alone
LATE_S = 86_400.0  # how far a process that has just started looks back: as long as halves are kept
COMMIT_S = 60.0  # from a half's arrival until a query sees it, as good as always
SEARCH_EVERY_S = 300.0  # and so often what took longer is found
HELD_BYTES_MAX = 64 * 1024 * 1024
HELD_MAX = 20_000
PAIRS_LISTED = 10_000
PAIRS_AT_ONCE = 500
BYTES_AT_ONCE = 32 * 1024 * 1024
STEPS_S = 8.0  # of one run; the rest is for the next


class HeldHalves:
    """The halves that came lately and wait, within bounds, the oldest pushed out first. For one event loop."""

    def __init__(self, bytes_max: int = HELD_BYTES_MAX, halves_max: int = HELD_MAX) -> None:
        self._bytes_max = bytes_max
        self._halves_max = halves_max
        self._held: OrderedDict[Key, Half] = OrderedDict()
        self.held_bytes = 0

    def take_mate(self, half: Half) -> Half | None:
        """Return the other half of its inference and hold it no longer; None where it is not held."""
        mate = self._held.get(half.key)
        if mate is None or mate.half == half.half:
            return None
        self._drop(half.key)
        return mate

    def hold(self, half: Half) -> None:
        """Hold a half, in place of one of the same inference; one that takes too much of the room is left out."""
        self._drop(half.key)
        if len(half.body) > self._bytes_max // 8:
            return
        self._held[half.key] = half
        self.held_bytes += len(half.body)
        while len(self._held) > self._halves_max or self.held_bytes > self._bytes_max:
            self._drop(next(iter(self._held)))

    def __len__(self) -> int:
        return len(self._held)

    def _drop(self, key: Key) -> None:
        left = self._held.pop(key, None)
        self.held_bytes -= len(left.body) if left else 0


def join_halves(half: Half, mate: Half, types: TypesOf | None = None) -> tuple[Joined, dict[str, pa.Table]]:
    """Return what two halves say, in either order, and all rows to store: predictions, and that they are joined."""
    request, response = (half, mate) if half.half == REQUEST else (mate, half)
    joined = join(request, response, types)
    return joined, {**joined.decoded.tables, "inference_payloads": inference_payloads.joined_rows([half])}


class Joiner:
    """The job that joins what waits in the lake, and counts what waited too long. One node runs it at a time."""

    def __init__(self) -> None:
        self._settled_to: datetime | None = None  # what was received before it is joined, or alone for good
        self._alone_from: datetime | None = None  # of what was received before it another process counted
        self._looked_to: datetime | None = None  # the last tick that came to its end
        self._searched_at: datetime | None = None  # when the whole window was looked through

    def tick(self, services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> None:
        """Join every pair received within WAIT_S, at the first tick within LATE_S; in steps, for at most STEPS_S.

        What is left over is the next tick's, however old it has become meanwhile.
        """
        late = at - timedelta(seconds=WAIT_S)
        if self._settled_to is None or self._alone_from is None:
            self._settled_to, self._alone_from = at - timedelta(seconds=LATE_S), late
        window = Window(self._settled_to, at)
        if not self._join_all(services, window, self._asked(window), stopping):
            self._searched_at = None
            return
        begin = max(self._settled_to, self._alone_from)
        if begin < late:
            alone = inference_payloads.count_alone(services.lake, Window(begin, at), Window(begin, late))
            services.telemetry.count_alone(alone)
        self._settled_to, self._looked_to = max(self._settled_to, late), at

    def _asked(self, window: Window) -> Window:
        """Return when one half at least of what is looked for was received: lately, or now and then at any time.

        What was received before the last tick had its turn, but for what was being committed meanwhile.
        """
        searched, looked_to = self._searched_at, self._looked_to
        if searched is None or looked_to is None or (window.end - searched).total_seconds() >= SEARCH_EVERY_S:
            self._searched_at = window.end
            return window
        return Window(max(window.start, looked_to - timedelta(seconds=COMMIT_S)), window.end)

    def _join_all(self, services: Services, window: Window, asked: Window, stopping: Callable[[], bool]) -> bool:
        """Return whether nothing more is to be joined."""
        begun_s = services.clock.monotonic_s()
        while pairs := inference_payloads.waiting_pairs(services.lake, window, asked, PAIRS_LISTED):
            for some in _steps(pairs):
                if stopping() or services.clock.monotonic_s() - begun_s >= STEPS_S:
                    return False
                self._join(services, window, [pair.key for pair in some], services.clock.now())
            if len(pairs) < PAIRS_LISTED:
                return True
        return True

    def _join(self, services: Services, window: Window, keys: Sequence[Key], at: datetime) -> None:
        tables: list[pa.Table] = []
        schemas: dict[tuple[str, int], tuple[str, FeatureSchema]] = {}
        over: list[Half] = []
        unread = refused = 0
        cut: dict[str, int] = {}
        for request, response in inference_payloads.read_pairs(services.lake, window, keys):
            over.append(max(request, response, key=lambda half: half.received_us))
            try:
                joined = join(request, response)
            except Exception as error:  # noqa: BLE001 - one that cannot be joined must not keep the others waiting
                unread += 1
                log.warning("inference %.100r of %.100r is left out: %s", request.inference_id, request.model, error)
                continue
            # A catalog that does not answer ends the tick: nothing is stored yet, and all of it waits.
            again = partial(_decoded, request, response)
            decoded = services.types.admit(joined.decoded, at, again)
            refused += len(decoded.refusals)
            tables += decoded.tables.values()
            schemas |= {(model, schema.schema_id): (model, schema) for model, schema in decoded.schemas}
            for what, count in joined.cut.items():
                cut[what] = cut.get(what, 0) + count
        if not over:
            return
        rows = {"inference_payloads": inference_payloads.joined_rows(over)}
        if tables:
            services.catalog.remember_schemas(list(schemas.values()))
            rows["predictions"] = pa.concat_tables(tables)
        begun_s = services.clock.monotonic_s()
        stored = services.lake.append(rows)
        services.telemetry.observe_commit(services.clock.monotonic_s() - begun_s, stored)
        services.telemetry.count_cut(cut)
        services.telemetry.count_joined("job", len(over) - unread)
        services.telemetry.count_rows("cloudevents", 0, unread + refused)
        services.types.try_to_write_counts(at)


def _decoded(request: Half, response: Half, types: TypesOf) -> Decoded:
    return join(request, response, types).decoded


def _steps(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Yield the pairs in groups of PAIRS_AT_ONCE and BYTES_AT_ONCE, of one pair at least."""
    group: list[Pair] = []
    held = 0
    for pair in pairs:
        if group and (len(group) >= PAIRS_AT_ONCE or held + pair.body_bytes > BYTES_AT_ONCE):
            yield group
            group, held = [], 0
        group.append(pair)
        held += pair.body_bytes
    if group:
        yield group
