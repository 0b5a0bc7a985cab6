"""Old and scattered rows -> fewer files and free disk, in bounded steps."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.engine.services import Services

ADVICE_KEPT = timedelta(days=1)  # one every ten seconds; scaling in looks back minutes
PROGRESS_KEPT = timedelta(days=7)
SENT_KEPT = timedelta(days=1)


def maintain(services: Services, at: datetime) -> None:
    """Merge the lake's small files and drop what retention says is over."""
    services.lake.maintain(at, services.retention_days)
    before = at - timedelta(days=services.retention_days)
    services.catalog.findings.prune(before)
    services.catalog.findings.prune(at - ADVICE_KEPT, "recommendation")
    services.catalog.runs.prune(before, at - PROGRESS_KEPT)
    services.catalog.outbox.prune(at - SENT_KEPT)
