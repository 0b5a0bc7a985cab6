"""A body that arrived by any door becomes durable rows and its sender's answer: decode, commit, count, answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import uuid4

import msgspec
import pyarrow.compute as pc
from starlette.concurrency import run_in_threadpool

from seamark.core.errors import SeamarkError, StoreUnavailable
from seamark.core.records import Decoded
from seamark.engine.inference import HeldHalves
from seamark.engine.services import Services
from seamark.web.auth import Principal
from seamark.web.bodies import THREAD_BYTES, InFlight
from seamark.web.decoding import DecodeQueue
from seamark.web.recent import RecentBodies
from seamark.wire.otlp import SPAN_COLUMNS_FROM_BYTES, Encoding, decode_logs, decode_metrics, decode_traces
from seamark.wire.otlp_answers import export_answer, reasons
from seamark.wire.protobuf_fields import check_fields

log = logging.getLogger(__name__)

BODIES_AT_ONCE = 4  # of the largest size
LARGE_AT_ONCE = 2  # bodies being decoded: more would only share the interpreter, and hold its memory longer
LOOK_INLINE_BYTES = 512 * 1024  # looking at less takes half a millisecond, giving it to a thread takes longer
REJECTED_SHOWN = 1_000
COUNTS_WAIT_S = 1.0
SCHEMAS_REMEMBERED = 10_000
UNFORESEEN = "something went wrong in the service, its log tells more; nothing was stored, send it again in a moment"
_ITEMS = {"traces": "spans", "logs": "log records", "metrics": "data points"}

Result = TypeVar("Result")


class Intake:
    """What all doors of one service share: bodies in flight, bodies and halves held, schemas the catalog has."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counting: asyncio.Task[None] | None = None
        self.in_flight = InFlight(BODIES_AT_ONCE * services.max_body_bytes)
        self.halves = HeldHalves()
        self._recent = RecentBodies()
        self._traces = {encoding: DecodeQueue(encoding) for encoding in Encoding}
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._schemas: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def export(self, who: Principal, signal: str, encoding: Encoding, body: bytes) -> bytes:
        """Store an OTLP export of `signal` ("traces", "logs", "metrics"); return its answer in the same encoding.

        A SeamarkError says why nothing was stored. A body that was stored a moment ago is only answered again.
        """

        async def store() -> bytes:
            decode = partial(_DECODERS[signal], body, encoding, received_at=self._services.clock.now())
            decoded = await self.commit(who, await self._decoded(signal, encoding, body, decode), decode)
            refused = len(decoded.refusals)
            self._services.telemetry.count_rows(signal, decoded.rows, refused)
            message = reasons(decoded.refusals, decoded.rows + refused, _ITEMS[signal])
            return export_answer(signal, encoding, refused, message)

        # An answer given to one key must not be had with another: what a key is bound to belongs to the name.
        look = partial(_looked_at, signal, encoding, body)
        digest = look() if len(body) <= LOOK_INLINE_BYTES else await self.work(body, look)
        name = (signal, encoding, who.model, digest)
        return await self._recent.once(name, self._services.clock.monotonic_s(), store)

    async def _decoded(self, signal: str, encoding: Encoding, body: bytes, decode: Callable[[], Decoded]) -> Decoded:
        if signal == "traces" and len(body) >= SPAN_COLUMNS_FROM_BYTES:
            return await self._traces[encoding].decode(body, self._services.clock.now())
        return await self.work(body, decode)

    async def records(
        self, who: Principal, signal: str, decode: Callable[..., Decoded], body: bytes, media_type: str
    ) -> bytes:
        """Store predictions or labels sent as records; return the JSON that names what was refused, and every id."""
        decode = partial(decode, body, media_type, received_at=self._services.clock.now())
        decoded = await self.commit(who, await self.work(body, decode), decode)
        refused = decoded.refusals
        self._services.telemetry.count_rows(signal, decoded.rows, len(refused))
        return msgspec.json.encode(
            {
                "accepted": decoded.rows,
                "rejected": [{"index": r.index, "error": r.reason} for r in refused[:REJECTED_SHOWN]],
                "rejected_total": len(refused),
                "ids": decoded.ids,
            }
        )

    async def commit(self, who: Principal, decoded: Decoded, decode: Callable[..., Decoded]) -> Decoded:
        """Return what was taken, when it is durable. Whatever else happens, the sender is told to keep its rows.

        `decode` decodes them again, with known types, where only those can tell which rows are right.
        """
        services = self._services
        _check_models(who, decoded)
        try:
            if not services.types.fits(decoded):
                decoded = await run_in_threadpool(services.types.admit, decoded, services.clock.now(), decode)
                if services.types.counted and (self._counting is None or self._counting.done()):
                    self._counting = asyncio.create_task(self._write_counts())
            await self._remember_schemas(decoded)
            if decoded.tables:
                await services.buffer.append(decoded.tables)
        except SeamarkError:
            raise
        except Exception as error:
            log.exception("a commit failed in a way nobody foresaw")
            raise StoreUnavailable("the rows could not be stored; send them again in a moment") from error
        return decoded

    async def _write_counts(self) -> None:
        """Write how many rows were refused for their types, together with those of the next second."""
        await self._services.clock.sleep(COUNTS_WAIT_S)
        await self.write_counts()

    async def write_counts(self) -> None:
        """Write what was counted of refused rows; what cannot be written now waits."""
        await run_in_threadpool(self._services.types.try_to_write_counts, self._services.clock.now())

    async def _remember_schemas(self, decoded: Decoded) -> None:
        """Give the catalog schemas it may not have: rows whose schema is unknown could not be read."""
        keys = {(model, schema.schema_id): (model, schema) for model, schema in decoded.schemas}
        new = [pair for key, pair in keys.items() if key not in self._schemas]
        if new:
            await run_in_threadpool(self._services.catalog.remember_schemas, new)
        for key in keys:
            self._schemas[key] = None
            self._schemas.move_to_end(key)
        while len(self._schemas) > SCHEMAS_REMEMBERED:
            self._schemas.popitem(last=False)

    async def work(self, body: bytes, work: Callable[[], Result]) -> Result:
        """Return what `work` on `body` returns; a large body's is done in a thread, few at once."""
        if len(body) <= THREAD_BYTES:
            return work()
        async with self._large:
            return await run_in_threadpool(work)


def _looked_at(signal: str, encoding: Encoding, body: bytes) -> bytes:
    """Return the body's digest; BodyTooLarge where it would become too much."""
    if encoding is Encoding.PROTOBUF:
        check_fields(body, signal)
    return hashlib.blake2b(body, digest_size=16).digest()


def new_id() -> str:
    """Return an id for a prediction that came without one."""
    return uuid4().hex


_DECODERS: dict[str, Callable[..., Decoded]] = {
    "traces": decode_traces,
    "logs": partial(decode_logs, new_id=new_id),
    "metrics": decode_metrics,
}


def _check_models(who: Principal, decoded: Decoded) -> None:
    """A key that is bound to one model brings rows of that model only."""
    if who.model is None:
        return
    for table in decoded.tables.values():
        for model in pc.unique(table.column("model")).to_pylist():
            who.check_model(model)
