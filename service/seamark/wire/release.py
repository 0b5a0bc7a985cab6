"""The `release` part of a model in seamark.yaml becomes a ReleaseSpec; every mistake is noted with its line."""

from __future__ import annotations

import re
from typing import Any

from seamark.core.release import MEASURES, WARMUP_S, ReleaseSpec
from seamark.wire.checks import Checker, join
from seamark.wire.values import shown

KEYS = (*MEASURES, "critical", "require", "warmup")
_LEFT_OUT = "off"
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)\s?%")
_MOST_PERCENT = {"relative": 1000.0, "points": 100.0, "distance": 100.0}


def read_release(checker: Checker, value: Any, path: str) -> ReleaseSpec | None:
    """Return what is asked for; None where it is no mapping."""
    found = checker.mapping({} if value is None else value, path, KEYS, "release")
    if found is None:
        return None
    given = {name: found[name] for name in MEASURES if found.get(name) is not None}
    tolerances = {name: _tolerance(checker, written, join(path, name), name) for name, written in given.items()}
    critical = _measures(checker, found.get("critical"), join(path, "critical"))
    require = _measures(checker, found.get("require"), join(path, "require"))
    for name in require or ():
        if name in tolerances and tolerances[name] is None and given[name] == _LEFT_OUT:
            checker.wrong(join(path, "require"), f"{name} is required here and {_LEFT_OUT} above; it cannot be both")
    warmup_s = checker.seconds(found.get("warmup"), join(path, "warmup"), least_s=0, most_s=86_400)
    return ReleaseSpec(tolerances, critical, require or (), WARMUP_S if warmup_s is None else warmup_s)


def _tolerance(checker: Checker, value: Any, path: str, name: str) -> float | None:
    """Return a tolerance as a share; None where the measure is left out (or the tolerance is wrong)."""
    if value == _LEFT_OUT:
        return None
    most = _MOST_PERCENT[MEASURES[name].unit]
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) <= most:
        # A bare 5 could be 5 % or five times.
        right = f"write per cent above 0 and up to {most:g}, like 5%, or {_LEFT_OUT} to leave {name} out"
        checker.wrong(path, f"{shown(value)} is no tolerance; {right}")
        return None
    return float(match[1]) / 100


def _measures(checker: Checker, value: Any, path: str) -> tuple[str, ...] | None:
    """Return a list of measures; None where there is none."""
    if value is None:
        return None

    def read(item: Any, place: str) -> str | None:
        if isinstance(item, str) and item in MEASURES:
            return item
        checker.wrong(place, f"{shown(item)} is no measure of a release; known are {', '.join(MEASURES)}")
        return None

    return tuple(dict.fromkeys(checker.each(value, path, "measures", read)))
