"""A plan as written -> a digest of each part that must be the same for two runs to be held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

# The part, and what holds where the plan does not name it.
_PARTS: dict[str, Any] = {
    "target": None,
    "payload": None,
    "shape": None,
    "scenario": "http_json",
    "timeout_s": 30,
    "replicas": 1,
    "workers": 1,
    "remote_workers": 0,
}
_OF_A_SEARCH: dict[str, Any] = {
    "thresholds": []
}  # they say what a capacity is; of other runs they only say which passed


def parts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a plan in the words of seamark.yaml.

    >>> one = parts_of({"shape": {"constant": {"rate_rps": 5}}, "workers": 1})
    >>> two = parts_of({"shape": {"constant": {"rate_rps": 5.0}}, "thresholds": ["error_ratio < 0.1"]})
    >>> changed(one, two), changed(one, parts_of({"shape": {"constant": {"rate_rps": 6}}}))
    ((), ('shape',))
    """
    shape = document.get("shape")
    search = isinstance(shape, Mapping) and "capacity" in shape
    parts = {**_PARTS, **_OF_A_SEARCH} if search else _PARTS
    found = {}
    for name, default in parts.items():
        written = document.get(name)
        found[name] = _digest(default if written is None else written)
    return found


def changed(earlier: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the parts in which two plans differ; of thresholds only where both search for capacity."""
    told = [name for name in now if name in earlier or name not in _OF_A_SEARCH]
    return tuple(name for name in told if earlier.get(name) != now[name])


def _digest(value: Any) -> str:
    return sha256(msgspec.json.encode(_plain(value), order="sorted")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """5 and 5.0 are one number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
