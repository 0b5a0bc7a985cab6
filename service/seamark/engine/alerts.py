"""Conditions of this instant -> alert states and the messages they owe, written in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from seamark.compute import alerting
from seamark.core.findings import Alert, AlertRule, AlertState, AlertStatus, Transition, to_document
from seamark.core.specs import ChannelSpec, ModelSpec, Segment
from seamark.delivery.channels import CHANNELS
from seamark.engine.services import Services
from seamark.store.catalog.alerts import LastWritten, NewMessage


@dataclass(frozen=True)
class Condition:
    """What a rule found now: `is_so` None means unknown. `annotations` explain, and may change at each step."""

    rule: AlertRule
    is_so: bool | None
    value: float | None
    annotations: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def drift_rule(spec: ModelSpec, segment: Segment = ()) -> AlertRule:
    """The rule that any feature of a model drifted, in a segment of its traffic or in all of it."""
    return _of_data("SeamarkDrift", spec, segment, f"Features of {spec.name} drifted from their reference")


def quality_rule(spec: ModelSpec, segment: Segment = ()) -> AlertRule:
    """The rule that a model's data are worse than their reference, likewise."""
    return _of_data("SeamarkDataQuality", spec, segment, f"Data of {spec.name} are worse than their reference")


def _of_data(name: str, spec: ModelSpec, segment: Segment, summary: str) -> AlertRule:
    labels = {"alertname": name, "model": spec.name, "severity": "ticket"}
    if segment:
        labels["segment"] = ",".join(f"{label}={value}" for label, value in segment)
        summary += f", where {labels['segment'].replace(',', ', ')}"
    return AlertRule(name, labels, "ticket", summary=summary)


def slo_rule(spec: ModelSpec, kind: str, severity: str) -> AlertRule:
    """The rule that an objective's error budget burns too fast, by severity."""
    labels = {"alertname": "SeamarkSloBurnRate", "model": spec.name, "slo": kind, "severity": severity}
    return AlertRule("SeamarkSloBurnRate", labels, severity, summary=f"{spec.name} burns its {kind} budget too fast")


def rules(specs: Sequence[ModelSpec]) -> list[AlertRule]:
    """Every rule that the configuration in force implies."""
    found: list[AlertRule] = []
    for spec in specs:
        if spec.drift:
            found += [rule(spec, part) for part in ((), *spec.drift.segments) for rule in (drift_rule, quality_rule)]
        if spec.slo:
            kinds = [kind for kind in ("availability", "latency") if getattr(spec.slo, kind) is not None]
            found += [slo_rule(spec, kind, severity) for kind in kinds for severity in ("page", "ticket")]
    return found


def fingerprint(rule: AlertRule) -> str:
    """The alert's identity: a hash of its name and labels."""
    text = json.dumps([rule.name, sorted(rule.labels.items())])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def advance(services: Services, conditions: Sequence[Condition], at: datetime) -> list[Alert]:
    """Step every alert; save the changed ones together with their messages. Returns the changed ones."""
    before = {alert.fingerprint: alert for alert in services.catalog.alerts.all()}
    channels = services.configuration.current().channels
    written = services.catalog.outbox.last_written() if channels else {}
    changed: list[Alert] = []
    messages: list[NewMessage] = []
    for condition in conditions:
        alert, transitions = _step(before.get(fingerprint(condition.rule)), condition, at)
        if alert is None:
            continue
        if alert != before.get(alert.fingerprint):
            changed.append(alert)
        messages += _announce(services, alert, transitions, channels, at)
        if not transitions:
            messages += _resend(services, alert, channels, written, at)
    messages += _retire(services, before, {fingerprint(c.rule) for c in conditions}, changed, channels, at)
    if changed or messages:
        services.catalog.alerts.save(changed, messages, at)
    return changed


def _step(known: Alert | None, condition: Condition, at: datetime) -> tuple[Alert | None, list[Transition]]:
    state = known.state if known else AlertState()
    state, transitions = alerting.step(state, condition.is_so, condition.value, at, condition.rule)
    if known is None and state.status == AlertStatus.INACTIVE:
        return None, []  # nothing has ever happened: nothing to keep
    keep_words = known is not None and condition.is_so is None
    annotations = known.annotations if keep_words and known else condition.annotations
    links = known.links if keep_words and known else condition.links
    return Alert(fingerprint(condition.rule), condition.rule, state, annotations, links), transitions


def _retire(
    services: Services,
    before: Mapping[str, Alert],
    still_ruled: set[str],
    changed: list[Alert],
    channels: Sequence[ChannelSpec],
    at: datetime,
) -> list[NewMessage]:
    """Resolve what fires although no rule speaks of it any more: the configuration dropped it."""
    messages: list[NewMessage] = []
    firing = (AlertStatus.FIRING, AlertStatus.PENDING)
    for key, alert in before.items():
        if key in still_ruled or alert.state.status not in firing or not _dropped(services, alert):
            continue
        was_firing = alert.state.status == AlertStatus.FIRING
        state = AlertState(AlertStatus.RESOLVED, since=at, started_at=alert.state.started_at, value=alert.state.value)
        gone = Alert(key, alert.rule, state, {**alert.annotations, "note": "its rule was removed"}, alert.links)
        changed.append(gone)
        if was_firing:
            messages += _announce(services, gone, [Transition(AlertStatus.RESOLVED, at)], channels, at)
    return messages


def _dropped(services: Services, alert: Alert) -> bool:
    return all(fingerprint(rule) != alert.fingerprint for rule in rules(services.configuration.current().models))


def _announce(
    services: Services, alert: Alert, transitions: Sequence[Transition], channels: Sequence[ChannelSpec], at: datetime
) -> list[NewMessage]:
    return [
        _message(services, alert, transition.to, channel, at, f"{transition.to.value}@{transition.at.isoformat()}")
        for transition in transitions
        if transition.to in (AlertStatus.FIRING, AlertStatus.RESOLVED)
        for channel in channels
    ]


def _resend(
    services: Services,
    alert: Alert,
    channels: Sequence[ChannelSpec],
    written: Mapping[tuple[str, str], LastWritten],
    at: datetime,
) -> list[NewMessage]:
    """Say it again where the channel expects it: Alertmanager lets an alert lapse that it does not hear of."""
    messages = []
    for spec in channels:
        channel = CHANNELS[spec.kind]
        last = written.get((alert.fingerprint, spec.name))
        if channel.resend_s is None or (last is not None and at - last.at < timedelta(seconds=channel.resend_s)):
            continue
        if last is not None and last.pending:
            continue  # the channel does not take what it has been told already
        resolved_lately = (
            alert.state.status in (AlertStatus.RESOLVED, AlertStatus.INACTIVE)
            and alert.state.started_at is not None
            and alert.state.since is not None
            and last is not None
            and at - alert.state.since < timedelta(seconds=channel.resend_resolved_s)
        )
        if alert.state.status == AlertStatus.FIRING or resolved_lately:
            status = AlertStatus.FIRING if alert.state.status == AlertStatus.FIRING else AlertStatus.RESOLVED
            messages.append(_message(services, alert, status, spec, at, f"again@{at.isoformat()}"))
    return messages


def _message(
    services: Services, alert: Alert, status: AlertStatus, channel: ChannelSpec, at: datetime, occasion: str
) -> NewMessage:
    key = hashlib.blake2b(f"{alert.fingerprint}|{channel.name}|{occasion}".encode(), digest_size=16).hexdigest()
    body: dict[str, Any] = {
        "key": key,
        "fingerprint": alert.fingerprint,
        "status": status.value,
        "labels": dict(alert.rule.labels),
        "annotations": {"summary": alert.rule.summary, **alert.annotations},
        "starts_at": to_document(alert.state.started_at or at),
        "ends_at": to_document(alert.state.since or at) if status == AlertStatus.RESOLVED else None,
        "url": f"{services.url}/alerts",
    }
    return NewMessage(key, channel.name, alert.fingerprint, body)
