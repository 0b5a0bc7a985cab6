"""An alert message -> Alertmanager's POST /api/v2/alerts, which holds an alert only as long as it is told again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from seamark.core.errors import DeliveryFailed
from seamark.core.findings import AlertStatus, to_document
from seamark.delivery.message import AlertMessage, Channel
from seamark.delivery.posting import origin, post_json

RESEND_S = 60.0
# As Prometheus does: a firing alert outlives three lost repetitions before Alertmanager lets it lapse.
FIRING_FOR_S = 4 * RESEND_S
RESEND_RESOLVED_S = 900.0


def alert(message: AlertMessage) -> dict[str, Any]:
    """Return one alert in Alertmanager's words. It knows an alert by its labels and refuses an end before the start."""
    if message.status == AlertStatus.FIRING:
        ends_at = message.sent_at + timedelta(seconds=FIRING_FOR_S)
    else:
        ends_at = message.ends_at or message.sent_at
    document = {
        "labels": label_set(message.labels),
        "annotations": label_set(message.annotations),
        "startsAt": to_document(message.starts_at),
        "endsAt": to_document(max(ends_at, message.starts_at)),
    }
    if message.url:
        document["generatorURL"] = quote(message.url, safe=":/?#[]@!$&'()*+,;=%~", errors="replace")
    return document


def label_set(labels: Mapping[str, str]) -> dict[str, str]:
    """Return `labels` with names Alertmanager takes; empty values are left out, as it would.

    Two names that become one keep apart by a number, in the order of the names, so that a set always looks the same.

    >>> label_set({"model": "churn", "data-set": "a", "data.set": "b", "zone": ""})
    {'model': 'churn', 'data_set': 'a', 'data_set_2': 'b'}
    """
    given = {name: value for name, value in labels.items() if value}
    taken = {name: value for name, value in given.items() if _clean(name) == name}
    for name in sorted(given.keys() - taken.keys()):
        clean = wanted = _clean(name)
        number = 2
        while clean in taken:
            clean, number = f"{wanted}_{number}", number + 1
        taken[clean] = given[name]
    return taken


def _clean(name: str) -> str:
    clean = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return clean if clean and not clean[0].isdigit() else f"_{clean}"


def deliver(client: httpx.Client, url: str, message: AlertMessage) -> None:
    """Return when Alertmanager took the alert; `url` is its own address, with its path prefix where it has one."""
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL:
        raise DeliveryFailed(f"{origin(url)} is no URL of an Alertmanager", permanent=True) from None
    post_json(client, str(base.copy_with(path=base.path.rstrip("/") + "/api/v2/alerts")), [alert(message)])


ALERTMANAGER = Channel(name="alertmanager", deliver=deliver, resend_s=RESEND_S, resend_resolved_s=RESEND_RESOLVED_S)
