"""Recommended replicas that changed -> a message to the channel seamark.yaml names, at most one a minute and model."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from urllib.parse import quote

from seamark.core.advice import PastAdvice, Recommendation
from seamark.core.findings import AlertStatus, to_document
from seamark.core.specs import ModelSpec
from seamark.engine.services import Services
from seamark.store.catalog.alerts import NewMessage

EVERY = timedelta(seconds=60)
ALERT_NAME = "SeamarkReplicasChanged"
_COUNT = "replicas"  # the annotation that holds what was told last


def tell_change(
    services: Services, spec: ModelSpec, before: PastAdvice | Recommendation | None, advice: Recommendation
) -> None:
    """Put a message into the outbox where the count is another than the one told last; before any, than the last one.

    A hold tells nothing: it is no advice to change anything. What changes within a minute of the last message, or
    while that one still waits for its channel, is told afterwards if it is so then: no more than one message waits.
    """
    channel = spec.autoscale.notify if spec.autoscale else None
    if channel is None or advice.state != "ok" or advice.replicas is None:
        return
    fingerprint = hashlib.blake2b(f"{ALERT_NAME}|{spec.name}".encode(), digest_size=8).hexdigest()
    newest = services.catalog.outbox.newest(fingerprint, channel)
    if newest is None:
        told = before.replicas if before is not None and before.state == "ok" else None
    else:
        last, body = newest
        if last.pending or advice.at - last.at < EVERY:
            return
        told = int(body["annotations"][_COUNT])
    if told is None or told == advice.replicas:
        return
    message = _message(services, spec.name, fingerprint, channel, told, advice)
    services.catalog.alerts.save([], [message], advice.at)


def _message(
    services: Services, model: str, fingerprint: str, channel: str, told: int, advice: Recommendation
) -> NewMessage:
    key = hashlib.blake2b(f"{fingerprint}|{channel}|{advice.at.isoformat()}".encode(), digest_size=16).hexdigest()
    body = {
        "key": key,
        "fingerprint": fingerprint,
        "status": AlertStatus.FIRING.value,
        "labels": {"alertname": ALERT_NAME, "model": model, "severity": "info"},
        "annotations": {
            "summary": f"{model}: replicas recommended changed from {told} to {advice.replicas}",
            "description": advice.reason,
            "replicas_before": str(told),
            _COUNT: str(advice.replicas),
        },
        "starts_at": to_document(advice.at),
        "ends_at": None,
        "url": f"{services.url}/models/{quote(model, safe='')}",
    }
    return NewMessage(key, channel, fingerprint, body)
