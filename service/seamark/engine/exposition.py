"""What is known now -> the text Prometheus scrapes. What cannot be read is left out, never shown as zero."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from seamark.core.errors import SeamarkError
from seamark.engine.overview import overviews
from seamark.engine.services import Services
from seamark.store.catalog.runs import RunRecord
from seamark.telemetry import LastRun

log = logging.getLogger(__name__)

Read = TypeVar("Read")


def metrics_text(services: Services, accept: str | None) -> tuple[bytes, str]:
    """Return (body, content type)."""
    at = services.clock.now()
    return services.telemetry.render(
        accept,
        at=at,
        overviews=_or(list, lambda: overviews(services, at)),
        runs=_or(list, lambda: [_last_run(run) for run in services.catalog.runs.last_per_plan() if run.verdict]),
        missed=_or(lambda: None, lambda: _missed(services)),
        alerts=_or(list, services.catalog.alerts.all),
        lake=_or(lambda: None, services.lake.health),
        outbox_pending=_or(lambda: None, services.catalog.outbox.pending),
        buffer_waiting_rows=services.buffer.waiting_rows,
    )


def _missed(services: Services) -> dict[str, int] | None:
    return {plan: mark.missed for plan, mark in services.catalog.schedule.all().items()}


def _or(otherwise: Callable[[], Read], read: Callable[[], Read]) -> Read:
    """A scrape in hard times still tells what the process counted itself."""
    try:
        return read()
    except SeamarkError as error:
        log.warning("a part of /metrics is left out: %s", error.message)
        return otherwise()


def _last_run(run: RunRecord) -> LastRun:
    assert run.verdict is not None and run.ended_at is not None
    return LastRun(
        test=run.plan,
        model=run.model,
        status=run.status,
        finished_at=run.ended_at,
        requests=run.verdict.requests,
        errors=run.verdict.errors,
        asked_rate=run.verdict.asked_rate,
        achieved_rate=run.verdict.achieved_rate,
        latency_ms=run.verdict.latency_ms,
    )
