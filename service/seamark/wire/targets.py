"""An entry of targets.allow becomes a TargetSpec; a plan's rate is held against it, and its own locustfile's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from seamark.core.addresses import plain_host, refusal_as_written
from seamark.core.specs import PayloadSpec, ShapeSpec
from seamark.core.targets import TargetSpec, own_locustfile
from seamark.wire.checks import Checker, join, origin_of
from seamark.wire.values import shown

TARGET_KEYS = ("url", "max_rps", "until")
MAX_RPS_MOST = 1_000_000.0
# A plain name: no folder, no dot file, nothing a shell or a URL would read otherwise.
_LOCUSTFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.py")


def read_target(checker: Checker, value: Any, path: str) -> TargetSpec | None:
    """Return one entry, an origin or {url, max_rps, until}: default ports left out, host in lower case."""
    if not isinstance(value, Mapping):
        url = read_origin(checker, value, path)
        return None if url is None else TargetSpec(url)
    found = checker.mapping(value, path, TARGET_KEYS, "an allowed target")
    if found is None or not checker.needed(found, path, "url"):
        return None
    url = read_origin(checker, found["url"], join(path, "url"))
    max_rps = checker.number(found.get("max_rps"), join(path, "max_rps"), above=0.0, most=MAX_RPS_MOST)
    until = _day(checker, found.get("until"), join(path, "until"))
    return None if url is None else TargetSpec(url, max_rps, until)


def each_once(checker: Checker, targets: Collection[TargetSpec], path: str) -> None:
    """Note an origin that has two entries: which of their limits holds would be anybody's guess."""
    seen: dict[str, TargetSpec] = {}
    for target in targets:
        if seen.setdefault(target.url, target) != target:
            checker.wrong(path, f"{target.url} stands there twice, with different limits; write it once")


def check_rate(checker: Checker, origin: str, shape: ShapeSpec, path: str, targets: Collection[TargetSpec]) -> None:
    """Note a shape that asks for more than its target takes."""
    told = next(
        (words for target in targets if target.url == origin and (words := target.too_fast(shape.params))), None
    )
    if told is not None:
        checker.wrong(join(path, shape.kind), told)


def locustfile_fault(scenario: str) -> str | None:
    """Return why a scenario's name is none of a locustfile of one's own, None where it is one."""
    if own_locustfile(scenario) and _LOCUSTFILE.fullmatch(scenario):
        return None
    return "is no plain file name; write one like checkout.py, of a file in the folder SEAMARK_LOADTESTS_DIR"


def own_payload(checker: Checker, found: Mapping[str, Any], path: str) -> PayloadSpec:
    """Return the payload of a plan with its own locustfile, which has none: the file makes its own requests.

    Such a file runs in one process: several of them would each keep the rate cap for itself.
    """
    for key, usual in (("workers", 1), ("remote_workers", 0)):
        if found.get(key) not in (None, usual):
            checker.wrong(join(path, key), "is not used: a locustfile of your own runs in one process")
    if found.get("payload") is not None:
        checker.wrong(join(path, "payload"), "is not used: a locustfile of your own makes its requests itself")
    return PayloadSpec("rows")


def check_own_shape(checker: Checker, shape: ShapeSpec, path: str) -> None:
    """Note a shape that a locustfile of one's own cannot be run with: it is users who wait for their answers."""
    if shape.kind != "users":
        told = "cannot be asked of a locustfile of your own; write users: {count, spawn_per_s, duration_s}"
        checker.wrong(join(path, shape.kind), told)
    elif "wait_s" in shape.params:
        checker.wrong(
            join(path, "users.wait_s"), "is not used: the wait_time of the file's users says how long they wait"
        )


def read_origin(checker: Checker, value: Any, path: str) -> str | None:
    """Return an origin: scheme, host in lower case, and the port where it is not the default."""
    if value is None:
        checker.wrong(path, "is empty; write an origin, like http://127.0.0.1:8080")
    url = checker.url(value, path)
    if url is None:
        return None
    if url.partition("://")[2].rstrip("/").find("/") >= 0 or "?" in url:
        checker.wrong(path, f"{shown(url)} has a path; write only the origin, {origin_of(url)}")
        return None
    reason = refusal_as_written(plain_host(urlsplit(url).hostname or ""))
    if reason is not None:
        checker.wrong(path, f"{shown(url)} names {reason}, where nothing is ever sent to; take it out")
        return None
    return origin_of(url)


def _day(checker: Checker, value: Any, path: str) -> date | None:
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    checker.wrong(path, f"{shown(value)} is no day; write the last day on which tests may run, like 2026-12-31")
    return None
