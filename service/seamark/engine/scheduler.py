"""Slotted ticks: each job runs at multiples of its interval; a late tick runs once, a failed one again next time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from seamark.core.errors import SeamarkError
from seamark.engine.services import Services

log = logging.getLogger(__name__)

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Job:
    """A job of the engine: `run` is handed the services and its slot's instant, and blocks in a thread."""

    name: str
    every_s: float
    run: Callable[[Services, datetime], object]


def slot(at: datetime, every_s: float) -> datetime:
    """Return the newest multiple of the interval that is not after `at`."""
    return at - timedelta(seconds=(at - _EPOCH).total_seconds() % every_s)


async def loop(services: Services, job: Job, stopping: asyncio.Event) -> None:
    """Run a job at its slots until told to stop. What fails is logged, counted and tried again at the next slot."""
    last: datetime | None = None
    while not stopping.is_set():
        now = services.clock.now()
        due = slot(now, job.every_s)
        if last is None or due > last:
            last = due
            await _once(services, job, now)
        wait_s = max(
            (slot(services.clock.now(), job.every_s) - services.clock.now()).total_seconds() + job.every_s, 0.01
        )
        await _sleep(stopping, wait_s)


async def _once(services: Services, job: Job, at: datetime) -> None:
    try:
        await asyncio.to_thread(job.run, services, at)
        services.telemetry.job_succeeded(job.name, at)
    except SeamarkError as error:
        services.telemetry.job_failed(job.name)
        log.warning("job %s failed and will be tried again: %s", job.name, error.message)
    except Exception:  # the outermost line of a loop: one bad tick must not end all later ones
        services.telemetry.job_failed(job.name)
        log.exception("job %s failed and will be tried again", job.name)


async def _sleep(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
