"""Every way out for alerts, by the word seamark.yaml uses. A new channel is one file here and one line below."""

from __future__ import annotations

from seamark.delivery.channels.alertmanager import ALERTMANAGER
from seamark.delivery.channels.webhook import WEBHOOK
from seamark.delivery.message import Channel

CHANNELS: dict[str, Channel] = {
    "webhook": WEBHOOK,
    "alertmanager": ALERTMANAGER,
}
