"""Outbox rows -> messages delivered: claim, send, then mark. A crash in between sends twice with one key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from seamark.core.errors import DeliveryFailed
from seamark.delivery.channels import CHANNELS
from seamark.delivery.message import AlertMessage
from seamark.engine.services import Services
from seamark.store.catalog.alerts import OutboxRow

log = logging.getLogger(__name__)

CLAIM_S = 60.0
GIVE_UP_S = 24 * 3600.0
BACKOFF_MAX_S = 300.0


def dispatch(services: Services, at: datetime, stopping: Callable[[], bool] = lambda: False) -> int:
    """Send what is due; return how many messages were claimed.

    What is left when the service stops, and what is bound for a channel that just did not answer, is due again later.
    """
    rows = services.catalog.outbox.claim(at, at + timedelta(seconds=CLAIM_S))
    channels = {spec.name: spec for spec in services.configuration.current().channels}
    silent: set[str] = set()
    for row in rows:
        if stopping() or row.channel in silent:
            later = services.clock.now() + timedelta(seconds=backoff_s(row.attempts))
            services.catalog.outbox.retry(row.id, later, "not tried: the channel was silent, or the service stopped")
            continue
        spec = channels.get(row.channel)
        if spec is None:
            reason = f"channel {row.channel!r} is no longer configured"
            services.catalog.outbox.give_up(row.id, services.clock.now(), reason)
            continue
        if not _send(services, row, spec.kind, spec.url):
            silent.add(row.channel)
    return len(rows)


def _send(services: Services, row: OutboxRow, kind: str, url: str) -> bool:
    """Whether the channel answered."""
    now = services.clock.now()
    message = msgspec.convert({**row.body, "sent_at": now}, AlertMessage)
    try:
        CHANNELS[kind].deliver(services.http, url, message)
    except DeliveryFailed as error:
        log.warning("message %s to %s was not delivered: %s", row.key, row.channel, error.message)
        if error.permanent or now - row.created_at > timedelta(seconds=GIVE_UP_S):
            services.catalog.outbox.give_up(row.id, now, error.message)
        else:
            services.catalog.outbox.retry(row.id, now + timedelta(seconds=backoff_s(row.attempts)), error.message)
        return error.permanent
    services.catalog.outbox.sent(row.id, services.clock.now())
    return True


def backoff_s(attempts: int) -> float:
    """Return the seconds to wait after so many attempts: doubling from 2 to 300.

    >>> [backoff_s(n) for n in (1, 2, 3, 20)]
    [2.0, 4.0, 8.0, 300.0]
    """
    return float(min(2.0 ** min(attempts, 16), BACKOFF_MAX_S))
