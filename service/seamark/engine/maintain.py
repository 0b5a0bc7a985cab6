"""Old and scattered rows -> fewer files and free disk, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from seamark.engine import arrival_history
from seamark.engine.services import Services

ADVICE_KEPT = timedelta(days=14)  # one every ten minutes, for the headroom page
ADVICE_KEPT_WHOLE = timedelta(days=1)  # one every ten seconds; scaling in looks back minutes
PROGRESS_KEPT = timedelta(days=7)
SENT_KEPT = timedelta(days=1)
STEPS_S = 8.0  # of one run of the lake's upkeep; the rest is for the next


def maintain_lake(services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> None:
    """Take steps of the lake's upkeep while there is work, for at most STEPS_S."""
    begun_s = services.clock.monotonic_s()
    while services.lake.maintain(at, services.retention_days):
        if stopping() or services.clock.monotonic_s() - begun_s >= STEPS_S:
            return


def prune_catalog(services: Services, at: datetime) -> None:
    """Drop the findings, runs and messages that retention says are over."""
    before = at - timedelta(days=services.retention_days)
    services.catalog.findings.prune(before)
    services.catalog.findings.prune(at - ADVICE_KEPT, "recommendation")
    services.catalog.findings.thin(at - ADVICE_KEPT_WHOLE, "recommendation")
    services.catalog.feature_types.prune(before)
    services.catalog.runs.prune(before, at - PROGRESS_KEPT)
    services.catalog.outbox.prune(at - SENT_KEPT)
    arrival_history.prune(services, at)
