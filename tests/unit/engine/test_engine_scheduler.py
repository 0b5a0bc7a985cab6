"""Slots are multiples of the interval, and a job that fails is tried again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from seamark.core.errors import StoreUnavailable
from seamark.engine.scheduler import Job, loop, slot
from seamark.engine.services import Services

AT = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize("every_s, seconds", [(5.0, 5), (1.0, 7), (60.0, 0), (300.0, 0)])
def test_a_slot_is_the_newest_multiple(every_s: float, seconds: int) -> None:
    assert slot(AT + timedelta(milliseconds=400), every_s) == AT.replace(second=seconds)


def test_a_job_that_fails_runs_again_and_is_counted(services: Services) -> None:
    ran: list[datetime] = []
    stopping = asyncio.Event()

    def job(_: Services, at: datetime) -> None:
        ran.append(at)
        services.clock.advance(0.02)  # type: ignore[attr-defined]
        if len(ran) == 1:
            raise StoreUnavailable("away for a moment")
        if len(ran) == 2:
            raise ValueError("a mistake of ours")
        stopping.set()

    asyncio.run(asyncio.wait_for(loop(services, Job("tried", 0.01, job), stopping), 10.0))
    assert len(ran) == 3
    text = services.telemetry.render(None, at=AT)[0].decode()
    assert 'seamark_job_failures_total{job_name="tried"} 2.0' in text
    assert 'seamark_job_last_success_timestamp_seconds{job_name="tried"}' in text
