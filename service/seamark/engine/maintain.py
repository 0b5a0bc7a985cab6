"""Old and scattered rows -> fewer files and free disk, in bounded steps."""

from __future__ import annotations

from datetime import datetime, timedelta

from seamark.engine.services import Services


def maintain(services: Services, at: datetime) -> None:
    """Merge the lake's small files and drop what retention says is over."""
    services.lake.maintain(at, services.retention_days)
    before = at - timedelta(days=services.retention_days)
    services.catalog.findings.prune(before)
    services.catalog.outbox.prune(before)
