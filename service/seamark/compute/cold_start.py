"""Instances as they are first heard of -> how long a replica takes from its start to its first request.

The start is the pod's (`k8s.pod.start_time`: the kubelet took it on, before images are pulled), else the moment at
which more replicas were advised, else the process's (`process.creation.time`, which knows of nothing before it).
How soon the first request comes depends on traffic, too: with little of it this is an upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np

from seamark.core.advice import Recommendation
from seamark.core.traffic import ColdStart, InstanceBirth, SeenInstance, SeenInstances

POD_START, PROCESS_START = "k8s.pod.start_time", "process.creation.time"
ADVISED = "advice"
STARTS_MIN = 3
STARTS_MOST = 100  # the newest count
KEPT = timedelta(days=28)
INSTANCES_MOST = 300  # remembered of one model
LONGEST_S = 3600.0  # what took longer was no start: a clock is wrong, or nobody called
LATE = timedelta(minutes=5)  # spans of a look before may come so late
ADVISED_BACK = timedelta(minutes=30)
_HOSTS = ("k8s.pod.uid", "k8s.pod.name", "host.id", "host.name")


def learned(
    before: SeenInstances, births: Sequence[InstanceBirth], until: datetime, advice: Sequence[Recommendation]
) -> SeenInstances:
    """Return what is known once the births of a window that ends at `until` are taken in. `advice` is of any order."""
    seen = {one.name: one for one in before.seen}
    origins = {one.origin for one in before.seen if one.origin}
    deployment, namespace = before.deployment, before.namespace
    for birth in births:
        resource = _resource(birth.resource)
        deployment = _text(resource, "k8s.deployment.name") or deployment
        namespace = _text(resource, "k8s.namespace.name") or namespace
        known = seen.get(birth.name)
        if known is not None:
            seen[birth.name] = replace(known, last_at=max(known.last_at, birth.last_at))
            continue
        origin = _origin(resource)
        # One whose first request is older would have been met at the last look: it was there, and was forgotten.
        is_new = birth.first_at >= before.until - LATE and (origin is None or origin not in origins)
        found = _cold_start(birth, resource, before.since, advice) if is_new else None
        seconds, source = found if found is not None else (None, None)
        if origin is not None:
            origins.add(origin)
        seen[birth.name] = SeenInstance(
            birth.name, birth.version, birth.first_at, birth.last_at, seconds, source, origin
        )
    kept = sorted((one for one in seen.values() if one.last_at >= until - KEPT), key=lambda one: one.last_at)
    return SeenInstances(before.since, until, tuple(kept[::-1][:INSTANCES_MOST]), deployment, namespace)


def cold_start(seen: SeenInstances) -> ColdStart | None:
    """Return what starts took; None with fewer than STARTS_MIN of them. Of n starts p90 is the ceil(0.9 n)-th."""
    starts = sorted((one for one in seen.seen if one.seconds is not None), key=lambda one: one.first_at)[-STARTS_MOST:]
    took = sorted(one.seconds for one in starts if one.seconds is not None)
    if len(took) < STARTS_MIN:
        return None
    sources = tuple(sorted({one.source for one in starts if one.source}))
    p90_s = took[ceil(0.9 * len(took)) - 1]
    return ColdStart(len(took), float(np.median(took)), p90_s, starts[-1].first_at, sources)


def _cold_start(
    birth: InstanceBirth, resource: dict[str, Any], since: datetime, advice: Sequence[Recommendation]
) -> tuple[float, str] | None:
    """Return (seconds, source) of a birth. One that began before anybody listened is none: nor is its first request."""
    told = (
        (_instant(resource.get(POD_START)), POD_START),
        (_advised(birth.first_at, advice), ADVISED),
        (_instant(resource.get(PROCESS_START)), PROCESS_START),
    )
    for started_at, source in told:
        if started_at is not None and started_at >= since:
            seconds = (birth.first_at - started_at).total_seconds()
            if -1.0 <= seconds <= LONGEST_S:  # starts are told in whole seconds
                return max(seconds, 0.0), source
    return None


def _advised(first_at: datetime, advice: Sequence[Recommendation]) -> datetime | None:
    """Return when the last advice before was given that asked for more than ran, and for more than the one before."""
    near = sorted((one for one in advice if first_at - ADVISED_BACK <= one.at < first_at), key=lambda one: one.at)
    rises = [
        after.at
        for before, after in pairwise(near)
        if after.replicas is not None
        and before.replicas is not None
        and after.current is not None
        and after.replicas > max(before.replicas, after.current)
    ]
    return max(rises, default=None)


def _origin(resource: dict[str, Any]) -> str | None:
    """Return what names a start: the instant as it was sent, and where. Of one start only the first instance counts."""
    started = _text(resource, POD_START) or _text(resource, PROCESS_START)
    where = next((found for key in _HOSTS if (found := _text(resource, key))), "")
    return f"{started}|{where}"[:200] if started else None


def _resource(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(resource: dict[str, Any], key: str) -> str | None:
    found = resource.get(key)
    return found if isinstance(found, str) and 0 < len(found) <= 256 else None


def _instant(value: Any) -> datetime | None:
    """Return an RFC 3339 instant, None for what is none; one without a zone is taken for UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 64 else None
        return None if found is None else found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
