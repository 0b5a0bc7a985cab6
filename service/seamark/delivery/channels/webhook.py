"""An alert message -> one JSON POST to any URL, the same at every retry but for `sent_at`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from seamark.core.findings import to_document
from seamark.delivery.message import AlertMessage, Channel
from seamark.delivery.posting import post_json


def document(message: AlertMessage) -> dict[str, Any]:
    """Return the body as docs/alerts.md promises it; `format` grows when a field changes its meaning."""
    return {
        "format": 1,
        "key": message.key,
        "fingerprint": message.fingerprint,
        "status": message.status.value,
        "labels": dict(message.labels),
        "annotations": dict(message.annotations),
        "starts_at": to_document(message.starts_at),
        "ends_at": to_document(message.ends_at),
        "sent_at": to_document(message.sent_at),
        "url": message.url,
    }


def deliver(client: httpx.Client, url: str, message: AlertMessage) -> None:
    """Return when the receiver answered 2xx; DeliveryFailed otherwise. `Idempotency-Key` marks repetitions."""
    # Quoting leaves our own keys as they are and lets no foreign one break out of the header.
    post_json(client, url, document(message), {"Idempotency-Key": quote(message.key, safe=":@=+/", errors="replace")})


WEBHOOK = Channel(name="webhook", deliver=deliver)
