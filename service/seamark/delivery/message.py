"""What goes out when an alert changes, and what a channel is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from seamark.core.findings import AlertStatus


@dataclass(frozen=True)
class AlertMessage:
    """One alert on its way out. `labels` are its identity and never change; `key` is the same at every retry."""

    key: str
    fingerprint: str
    status: AlertStatus  # firing | resolved
    labels: Mapping[str, str]  # alertname, severity, model, ...
    annotations: Mapping[str, str]  # summary, value, ...
    starts_at: datetime
    ends_at: datetime | None  # resolved: when; firing: None
    sent_at: datetime
    url: str  # the page that shows the evidence


@dataclass(frozen=True)
class Channel:
    """One way out for alerts: a record, registered by name in `delivery/channels/__init__.py`.

    deliver(client, url, message) returns when the other side accepted the message and raises DeliveryFailed otherwise,
    permanent=True where no retry will help. It may be called twice with the same key, does not follow redirects, and
    never puts the URL's secrets into an error. `resend_s`: a firing alert is sent again after so many seconds
    (None: once); `resend_resolved_s`: for how long a resolved one is sent again.
    """

    name: str
    deliver: Callable[[httpx.Client, str, AlertMessage], None]
    resend_s: float | None = None
    resend_resolved_s: float = 0.0
