"""KEDA's external scaler over gRPC: a ScaledObject's question becomes the advised count, or an error and never a zero.

KEDA takes any error for "not known" and does what the ScaledObject's `fallback` says. So there is an error wherever
there is no number: no such model, no advice, old advice, a hold where even the running count is unknown.

KEDA cannot put a key into a call's metadata. It sends the trigger's own metadata, with `...FromEnv` read from the
workload's environment: that is the second place where a key is looked for.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from seamark.core.errors import BodyTooLarge, BufferFull, InputRefused, Invalid, NotFound, SeamarkError, TryLater
from seamark.engine.services import Services
from seamark.web.auth import admitted, gate_of
from seamark.web.autoscale import asked_for, latest
from seamark.web.bodies import inflate
from seamark.web.grpc_calls import end, key_of
from seamark.web.intake import UNFORESEEN
from seamark.wire.external_scaler import (
    SERVICE,
    ScaledObject,
    active_answer,
    metrics_answer,
    read_metrics_request,
    read_scaled_object,
    spec_answer,
)

log = logging.getLogger(__name__)

METRIC = "seamark_recommended_replicas"
TARGET = 1  # the HPA then wants as many replicas as the metric says
KEYS = ("token", "tokenFromEnv")  # of the trigger's metadata
CALLS_AT_ONCE = 128
STREAMS_MAX = 64  # fewer than one connection may have: KEDA asks for all ScaledObjects on one
READS_AT_ONCE = 4  # each may hold a message of the largest size this port takes
MESSAGE_BYTES_MAX = 16 * 1024
ARRIVAL_S = 5.0
LOOK_S = 5.0  # how often a stream looks whether its answer is still true
REPEAT_S = 30.0  # how often it says so although nothing changed
_GZIP_MAGIC = b"\x1f\x8b"
_METRIC_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class _Question:
    """What a trigger asks about: a model, by the metric's name in the HPA; and the key it brought itself."""

    model: str
    metric: str
    key: str | None


class ExternalScaler:
    """The service externalscaler.ExternalScaler, but StreamMetricSpec: the spec never changes.

    KEDA takes its UNIMPLEMENTED for that, where an open stream for every ScaledObject would use up the connection.
    """

    def __init__(self, app: FastAPI) -> None:
        """`stopping` is set by who serves this, before the first call."""
        self._app = app
        self._services: Services = app.state.services
        self._calls = 0
        self._streams = 0
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self.stopping = asyncio.Event()

    def handler(self) -> Any:
        """Return the handler of its methods. All take their message as a stream, so that keys are looked at first."""
        unary = {"IsActive": self._is_active, "GetMetricSpec": self._metric_spec, "GetMetrics": self._metrics}
        methods = {
            name: grpc.stream_unary_rpc_method_handler(partial(self._answered, name, method))
            for name, method in unary.items()
        }
        pushed = partial(self._answered, "StreamIsActive", self._push_active)
        methods["StreamIsActive"] = grpc.stream_stream_rpc_method_handler(pushed)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _answered(self, name: str, method: Callable[[Any], Awaitable[bytes]], _messages: Any, call: Any) -> bytes:
        """Return the answer to one call, or end it with its status."""
        refused: SeamarkError
        try:
            return await method(call)
        except SeamarkError as error:
            refused = error
        except Exception:
            log.exception("gRPC %s", name)
            refused = TryLater(UNFORESEEN)
        # What has to be written or applied first is no reason to try again at once.
        await end(call, refused, grpc.StatusCode.FAILED_PRECONDITION if isinstance(refused, NotFound) else None)
        raise AssertionError("abort() does not return")

    async def _is_active(self, call: Any) -> bytes:
        question = _question(read_scaled_object(await self._message(call)))
        return active_answer(await self._replicas(call, question) > 0)

    async def _metric_spec(self, call: Any) -> bytes:
        """Answer also while there is no advice: without a spec KEDA would have nothing to fall back from."""
        question = _question(read_scaled_object(await self._message(call)))
        await self._admit(call, question)
        asked_for(self._services, question.model)
        return spec_answer(question.metric, TARGET)

    async def _metrics(self, call: Any) -> bytes:
        asking, metric = read_metrics_request(await self._message(call))
        question = _question(asking)
        if metric.casefold() not in ("", question.metric.casefold()):
            raise Invalid(f"this trigger's metric is {question.metric}; {metric[:70]!r} is not known")
        return metrics_answer(question.metric, await self._replicas(call, question))

    async def _push_active(self, call: Any) -> bytes:
        """Write whether the model is active, at once, at changes and every REPEAT_S, until that is not known."""
        question = _question(read_scaled_object(await self._message(call)))
        if self._streams >= STREAMS_MAX:
            raise BufferFull(f"{STREAMS_MAX} streams are open; use a trigger of type external, which asks by calls")
        self._streams += 1
        try:
            told: bool | None = None
            told_s = 0.0
            while not self.stopping.is_set():
                active = await self._replicas(call, question) > 0
                now_s = self._services.clock.monotonic_s()
                if active != told or now_s - told_s >= REPEAT_S:
                    await call.write(active_answer(active))
                    told, told_s = active, now_s
                await _until(self.stopping, LOOK_S)
        finally:
            self._streams -= 1
        raise TryLater("the service stops; ask again in a moment")

    async def _replicas(self, call: Any, question: _Question) -> int:
        """Return the advised count, 1 or more; an error where there is none."""
        await self._admit(call, question)
        if self._calls >= CALLS_AT_ONCE:
            raise BufferFull(f"more than {CALLS_AT_ONCE} calls are under way; ask again in a moment")
        self._calls += 1
        try:
            advice = await run_in_threadpool(latest, self._services, question.model)
        finally:
            self._calls -= 1
        if advice.replicas is None:
            raise TryLater(advice.reason)
        return advice.replicas

    async def _admit(self, call: Any, question: _Question) -> None:
        """Let go on who holds a read key for the model."""
        who = await admitted(gate_of(self._app), key_of(call) or question.key, "read")
        who.check_model(question.model)

    async def _message(self, call: Any) -> bytes:
        """Return the call's one message. Who brings a bad key in the call's metadata does not get it read."""
        key = key_of(call)
        if key is not None:
            await admitted(gate_of(self._app), key, "read")
        try:
            async with asyncio.timeout(ARRIVAL_S), self._reads:
                received = await call.read()
        except TimeoutError:
            raise TryLater(f"the message did not arrive within {ARRIVAL_S:g} s; send it again") from None
        if received is grpc.aio.EOF:
            raise InputRefused("a call has one message, and this one had none")
        message: bytes = received
        if len(message) > MESSAGE_BYTES_MAX:
            raise BodyTooLarge(f"a trigger's metadata has at most {MESSAGE_BYTES_MAX:,} bytes")
        return inflate(message, MESSAGE_BYTES_MAX) if message[:2] == _GZIP_MAGIC else message


def _question(asking: ScaledObject) -> _Question:
    """Return what a trigger's metadata asks about; Invalid says what is missing or wrong in it."""
    model, metric = asking.metadata.get("model", ""), asking.metadata.get("metricName") or METRIC
    if not model:
        raise Invalid("the trigger's metadata names no model; write `model: NAME` beside scalerAddress")
    if not _METRIC_NAME.fullmatch(metric):
        raise Invalid(f"metricName {metric[:70]!r} cannot stand in an HPA; leave it out, or use letters, digits, _.-")
    return _Question(model, metric, next((asking.metadata[name] for name in KEYS if asking.metadata.get(name)), None))


async def _until(event: asyncio.Event, most_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), most_s)
    except TimeoutError:
        return
