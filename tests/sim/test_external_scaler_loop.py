"""The loop closed over gRPC: the count KEDA's external trigger is told, and nothing else, moves the fleet."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.scaler_client import Stub
from tests.sim.fleet import Burst, Traffic
from tests.sim.invariants import broken
from tests.sim.world import MODEL, Fault, World

from seamark.web.otlp_grpc import GrpcDoor

pytestmark = pytest.mark.slow


class Polls:
    """KEDA's polls of the external trigger: a number, or None and why."""

    def __init__(self, doors: AsyncExitStack) -> None:
        self._doors = doors
        self._stub: Stub | None = None
        self.failed: set[str] = set()
        self.told: list[tuple[float, float]] = []  # (when, count)

    async def __call__(self, world: World) -> float | None:
        """Ask as KEDA does: the spec, whether the trigger is active, and the metric."""
        assert world.keda is not None
        if self._stub is None:
            door = GrpcDoor(world.app, grace_s=1.0)
            port = door.bind("127.0.0.1", 0)
            await self._doors.enter_async_context(door.serving(asyncio.Event()))
            self._stub = Stub(await self._doors.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}")))
        ref = self._stub.ref(**world.keda.trigger["metadata"])
        [spec] = (await self._stub.GetMetricSpec(ref, timeout=20)).metricSpecs
        assert spec.targetSizeFloat == world.keda.target == 1.0
        try:
            active = (await self._stub.IsActive(ref, timeout=20)).result
            value = await self._stub.value(ref, spec.metricName)
        except grpc.aio.AioRpcError as error:
            self.failed.add(error.code().name)
            return None
        assert active
        self.told.append((world.now_s, value.metricValueFloat))
        return float(value.metricValueFloat)


def test_the_fleet_follows_what_the_external_scaler_says(tmp_path: Path) -> None:
    traffic = Traffic(12.0, 7200.0, 0.1, 0.0, (Burst(60, 400, 1.8),))

    async def live() -> None:
        async with AsyncExitStack() as doors:
            polls = Polls(doors)
            world = World(
                tmp_path, 1, 7, [Fault("outage", 240, 380)], traffic=traffic, kind="keda-external", read=polls
            )
            assert world.traffic is traffic
            run = await world.run()
            assert broken(run) == []
            assert polls.failed == {"UNAVAILABLE"}  # while nothing was known; never a 0
            assert min(count for _, count in polls.told) >= 1
            known = dict(polls.told)
            followed = {step.at_s: step.after for step in run.steps if step.at_s in known}
            assert followed == {at_s: known[at_s] for at_s in followed}
            counts = [step.after for step in run.steps]
            assert max(counts) > counts[0] + 2
            blind = [step.after for step in run.steps if step.blind_s >= 60]
            assert blind and min(blind) == max(blind) == max(counts[:30])
            assert world.keda is not None and world.keda.trigger["metadata"]["model"] == MODEL

    asyncio.run(live())
