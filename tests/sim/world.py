"""A seed -> traffic, replicas, their spans, the real service, KEDA and faults, step by step on one manual clock.

The service is the real one: its doors, its lake in a folder, its engine at every tick. Only time is ours, and the
cluster.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from tests.sim.cluster import Keda
from tests.sim.fleet import Fleet, Law, Served, Traffic

from seamark.app import create_app, open_services
from seamark.core.advice import Recommendation
from seamark.core.clock import ManualClock
from seamark.core.findings import Capacity, to_document
from seamark.engine import advice_store
from seamark.engine.advice import advise_all
from seamark.engine.services import Services
from seamark.settings import Settings
from seamark.store.catalog.tables import findings

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = "churn"
TICK_S = 5
EXPORT_S = ADVISE_S = 10
UPKEEP_S = 300
AHEAD_S = 3600.0  # by which a sender's clock jumps
LATE_S = 45.0  # longer, together with how long it lasts, than scaling in waits is more than advice bears
LAW = Law()
CARRIED_RPS = LAW.carried_rps()
MIN, MAX = 2, 40


@dataclass(frozen=True)
class Fault:
    """What goes wrong, from when to when.

    `outage`: no telemetry arrives, and none later. `repeats`: all of a batch comes again with the next one. `late`:
    the spans of three in four instances are 45 s on their way. `clock`: one instance's clock is an hour
    ahead. `no_capacity`, `half_capacity`: the capacity that was tested is lost, or a new test found half of it.
    `restart`: the service ends and starts anew on the same store; the batches whose answers were lost come again.
    """

    kind: str
    start_s: float
    end_s: float

    def on(self, at_s: float) -> bool:
        """Whether it is so at an instant; a restart takes no time."""
        return self.start_s <= at_s < self.end_s or at_s == self.start_s


@dataclass(frozen=True)
class Step:
    """What was so after one advice: what the service said, what is true, and what the cluster did."""

    at_s: float
    answer: dict[str, Any]  # GET .../recommendation
    stored: dict[str, Any]
    told_capacity_rps: float | None  # what the catalog holds
    true_rps: float  # arrivals of the last minute, whoever heard of them
    lately_rps: float  # the most that this was in the last 30 s: spans take a while
    ready: int
    before: int  # replicas before the polls since the last advice, and after them
    after: int
    faults: frozenset[str]  # of the last 70 s
    out: bool  # whether telemetry is out now
    blind_s: float  # for how long no telemetry has arrived
    settled: bool  # no replica came or went in the last 70 s


@dataclass
class Run:
    """All of a simulation."""

    steps: list[Step] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    replica_s: float = 0.0
    need_s: float = 0.0  # replicas that the true rate needs, of the tested capacity
    peak_need: int = 0

    def p99_by_minute(self) -> dict[int, float]:
        """Minute of the arrival -> the 99 % quantile of its requests' seconds; a refused one took for ever."""
        by_minute: dict[int, list[float]] = defaultdict(list)
        for one in self.served:
            by_minute[int(one.start_s // 60)].append(np.inf if one.failed else one.end_s - one.start_s)
        return {minute: float(np.quantile(took, 0.99, method="higher")) for minute, took in sorted(by_minute.items())}


# How the cluster learns the count: the real HTTP answer by default, None where the poll failed.
Reading = Callable[["World"], Awaitable[float | None]]


@dataclass
class World:
    """One seeded world; `manifest` may change the manifest before it is applied, `read` is how KEDA asks."""

    folder: Path
    seed: int
    minutes: float
    faults: Sequence[Fault] = ()
    mean_rps: float = 12.0
    wave_s: float = 7200.0
    traffic: Traffic | None = None
    kind: str = "keda"
    manifest: Callable[[str], str] = str
    read: Reading | None = None

    def __post_init__(self) -> None:
        self.clock = ManualClock(BEGAN)
        self.rng = np.random.default_rng(self.seed)
        self.traffic = self.traffic or Traffic.drawn(self.rng, self.minutes, self.mean_rps, self.wave_s)
        self.fleet = Fleet(LAW, int(self.traffic.rate(0.0) / CARRIED_RPS) + 2, self.rng)
        self.now_s = 0.0
        self.keda: Keda | None = None
        self._on_the_way: list[tuple[float, Served]] = []  # (when it is exported, what)
        self._sent: deque[list[Served]] = deque(maxlen=4)  # the newest batches, which may come again
        self._rates: deque[float] = deque(maxlen=4)
        self._arrivals: list[float] = []
        self._changed_s = -1e9
        self._heard_s = 0.0

    async def run(self) -> Run:
        """Live through all of it."""
        run = Run()
        restarts = sorted(fault.start_s for fault in self.faults if fault.kind == "restart")
        for until_s in [*restarts, self.minutes * 60.0]:
            async with self._service():
                if self.now_s == 0.0:
                    self._tell_capacity(CARRIED_RPS)
                elif self._sent:
                    await self._send([one for batch in self._sent for one in batch])  # the answers were lost with it
                while self.now_s < until_s:
                    await self._tick(run)
        return run

    # --- the service ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _service(self) -> AsyncIterator[None]:
        with open_services(Settings(data_dir=self.folder), self.clock) as services:
            self.services: Services = services
            self.app: FastAPI = create_app(services, role="web")
            if self.now_s == 0.0:
                bounds = {"min": MIN, "max": MAX, "cold_start_s": LAW.cold_start_s}
                text = yaml.safe_dump({"models": [{"name": MODEL, "autoscale": bounds}]})
                services.configuration.apply(text, self.clock.now())
            transport = httpx.ASGITransport(self.app)
            async with (
                self.app.router.lifespan_context(self.app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as self.http,
            ):
                yield

    async def get(self, path: str, **params: str) -> httpx.Response:
        """Ask the service, as KEDA or an operator would."""
        return await self.http.get(f"/api/v1/models/{MODEL}{path}", params=params)

    def _tell_capacity(self, rps: float) -> None:
        found = Capacity(rps * 1.05, rps, rps * 1.1, "slo", (), supported=True)
        self.services.catalog.findings.put(MODEL, "capacity", self.clock.now(), found)

    def _lose_capacity(self) -> None:
        with self.services.catalog.database.begin() as connection:
            connection.execute(findings.delete().where(findings.c.model == MODEL, findings.c.kind == "capacity"))

    # --- one tick ------------------------------------------------------------------------------------------------

    async def _tick(self, run: Run) -> None:
        assert self.traffic is not None
        arrivals = self.traffic.arrivals(self.rng, self.now_s, TICK_S)
        served = self.fleet.serve(arrivals)
        run.served += served
        self._arrivals = [at for at in self._arrivals if at >= self.now_s + TICK_S - 60.0] + arrivals
        need = int(np.ceil(self.traffic.rate(self.now_s) / CARRIED_RPS))
        run.need_s += need * TICK_S
        run.peak_need = max(run.peak_need, need)
        run.replica_s += len(self.fleet.replicas) * TICK_S
        self._on_the_way += [(one.end_s + self._delay_s(one), one) for one in served]
        self.now_s += TICK_S
        self.clock.advance(TICK_S)
        if any(one.ready_s > self.now_s - TICK_S and one.ready_s > 0 for one in self.fleet.replicas):
            self._changed_s = self.now_s
        self._change_capacity()
        if self.now_s % EXPORT_S == 0:
            await self._export()
        if self.now_s % UPKEEP_S == 0:
            self.services.lake.maintain(self.clock.now(), None)
        before = len(self.fleet.replicas)
        advised = self.now_s % ADVISE_S == 0
        if advised:
            advise_all(self.services, self.clock.now())
        if self.keda is not None and self.now_s % self.keda.every_s == 0:
            await self._poll(self.keda)
        if advised:
            await self._note(run, before)
        if self.keda is None and self.now_s >= 20:
            answer = await self.get("/recommendation/manifest", kind=self.kind)
            self.keda = Keda(self.manifest(answer.raise_for_status().text))

    def _is(self, kind: str, at_s: float | None = None) -> bool:
        return any(fault.kind == kind and fault.on(self.now_s if at_s is None else at_s) for fault in self.faults)

    def _delay_s(self, one: Served) -> float:
        return LATE_S if self._is("late", one.start_s) and int(one.instance.split("-")[1]) % 4 else 0.0

    def _change_capacity(self) -> None:
        for fault in self.faults:
            if fault.kind in ("no_capacity", "half_capacity") and self.now_s == fault.start_s:
                if fault.kind == "no_capacity":
                    self._lose_capacity()
                else:
                    self._tell_capacity(CARRIED_RPS / 2)
            if fault.kind in ("no_capacity", "half_capacity") and self.now_s == fault.end_s:
                self._tell_capacity(CARRIED_RPS)

    async def _poll(self, keda: Keda) -> None:
        reading = await (self.read or by_http)(self)
        before = len(self.fleet.replicas)
        self.fleet.scale(keda.poll(reading, before), self.now_s)
        if len(self.fleet.replicas) != before:
            self._changed_s = self.now_s

    async def _export(self) -> None:
        batch = [one for due_s, one in self._on_the_way if due_s <= self.now_s]
        self._on_the_way = [(due_s, one) for due_s, one in self._on_the_way if due_s > self.now_s]
        if self._is("outage"):
            return  # the exporters' queues are full of it by the time it ends: dropped
        again = self._sent[-1] if self._is("repeats") and self._sent else []
        self._sent.append(batch)
        if batch or again:
            await self._send([*again, *batch])
            self._heard_s = self.now_s

    async def _send(self, batch: Sequence[Served]) -> None:
        ahead = "pod-1" if self._is("clock") else ""
        headers = {"content-type": "application/x-protobuf"}
        answer = await self.http.post("/v1/traces", content=_body(batch, ahead), headers=headers)
        assert answer.status_code == 200, answer.text

    async def _note(self, run: Run, before: int) -> None:
        answer = (await self.get("/recommendation")).raise_for_status().json()
        stored = self.services.catalog.findings.latest(MODEL, "recommendation", Recommendation)
        capacity = self.services.catalog.findings.latest(MODEL, "capacity", Capacity)
        assert stored is not None
        self._rates.append(len(self._arrivals) / 60.0)
        recent = range(0, 75, TICK_S)
        earlier = run.steps[-1].after if run.steps else before
        run.steps.append(
            Step(
                at_s=self.now_s,
                answer=answer,
                stored=json.loads(json.dumps(to_document(advice_store.whole(self.services, stored.finding)))),
                told_capacity_rps=capacity.finding.safe_rps if capacity else None,
                true_rps=self._rates[-1],
                lately_rps=max(self._rates),
                ready=len(self.fleet.ready(self.now_s)),
                before=earlier,
                after=len(self.fleet.replicas),
                faults=frozenset(f.kind for f in self.faults for ago in recent if f.on(self.now_s - ago)),
                out=self._is("outage"),
                blind_s=self.now_s - self._heard_s,
                settled=self.now_s - self._changed_s > 70.0,
            )
        )


async def by_http(world: World) -> float | None:
    """What KEDA's metrics-api trigger reads: the number at `valueLocation`; anything else is a failed poll."""
    assert world.keda is not None
    metadata = world.keda.trigger["metadata"]
    answer = await world.http.get(metadata["url"].removeprefix("http://127.0.0.1:8000"))
    value = answer.json().get(metadata["valueLocation"]) if answer.is_success else None
    return float(value) if isinstance(value, int | float) else None


def _body(batch: Sequence[Served], ahead: str) -> bytes:
    message = ExportTraceServiceRequest()
    by_instance: dict[str, list[Served]] = defaultdict(list)
    for one in batch:
        by_instance[one.instance].append(one)
    epoch_ns = int(BEGAN.timestamp()) * 10**9
    for instance, requests in by_instance.items():
        group = message.resource_spans.add()
        for key, value in (("service.name", MODEL), ("service.instance.id", instance)):
            group.resource.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
        spans = group.scope_spans.add().spans
        jump_s = AHEAD_S if instance == ahead else 0.0
        for one in requests:
            start_ns = epoch_ns + int((one.start_s + jump_s) * 1e9)
            identity = int(one.start_s * 1e9).to_bytes(8, "big")
            made = spans.add(trace_id=identity * 2, span_id=identity, name="predict", kind=2)
            made.start_time_unix_nano, made.end_time_unix_nano = (
                start_ns,
                start_ns + int((one.end_s - one.start_s) * 1e9),
            )
            made.status.code = 2 if one.failed else 0
    return message.SerializeToString()
