"""OpenTelemetry attributes become JSON text, and the model, version and instance they name."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from seamark.wire.values import NAMELESS, clean_name

# What an AnyValue turns into: str, bool, int, float, None, bytes, list, dict of the same.
Value = Any
Attributes = dict[str, Value]

DEPTH_MAX = 16  # arrays and maps inside each other; deeper ones become TOO_DEEP
ATTRIBUTES_MAX = 1_000  # of one span, event, resource or map
VALUES_MAX = 2_000_000  # of one request: above it the request is refused
TEXT_BYTES_MAX = 65_536  # of one JSON column; further attributes are cut and counted under CUT
RESOURCE_BYTES_MAX = 32 * 1024 * 1024  # of all rows together: a resource is stored again with each of its spans
TOO_DEEP = "(nested too deep)"
CUT = "seamark.cut_attributes"
CUT_EVENTS = "seamark.cut_events"
CUT_LINKS = "seamark.cut_links"

MODEL = "seamark.model.name"
VERSION = "seamark.model.version"
SYNTHETIC = "user_agent.synthetic.type"
USER_AGENTS = ("user_agent.original", "http.user_agent")
LOAD_TEST_AGENT = "seamark-loadtest"

_ENCODER = msgspec.json.Encoder()
_AS_IS = frozenset((str, int, bool, type(None)))


@dataclass(frozen=True)
class Source:
    """Who sent it, as its resource says. `attributes` is JSON text."""

    model: str
    version: str
    service: str
    instance: str | None
    synthetic: bool
    attributes: str | None


def read_source(resource: Attributes, text_bytes_max: int = TEXT_BYTES_MAX) -> Source:
    """Return what the attributes of a resource say of the sender."""
    service = first_text(resource, "service.name") or NAMELESS
    instance = first_text(resource, "service.instance.id")
    host, process = first_text(resource, "host.name"), first_text(resource, "process.pid")
    if not instance and host and process:
        instance = clean_name(f"{host}:{process}")
    return Source(
        model=first_text(resource, MODEL) or service,
        version=first_text(resource, VERSION, "service.version"),
        service=service,
        instance=instance or None,
        synthetic=is_synthetic(resource),
        attributes=attributes_text(resource, text_bytes_max),
    )


def resource_bytes_max(rows: int) -> int:
    """Return how long a resource's text may be in a request of `rows` rows."""
    return max(2_048, min(TEXT_BYTES_MAX, RESOURCE_BYTES_MAX // max(rows, 1)))


def model_of(attributes: Attributes, source: Source) -> tuple[str, str]:
    """Return model and version of one span or log record: its own attributes win over its resource's."""
    model = first_text(attributes, MODEL) if MODEL in attributes else ""
    version = first_text(attributes, VERSION) if VERSION in attributes else ""
    return model or source.model, version or source.version


def is_synthetic(attributes: Attributes) -> bool:
    """Whether the attributes mark traffic of a load test or a probe."""
    if SYNTHETIC in attributes and first_text(attributes, SYNTHETIC):
        return True
    agents = (attributes.get(key) for key in USER_AGENTS)
    return any(isinstance(agent, str) and agent.startswith(LOAD_TEST_AGENT) for agent in agents)


def first_text(attributes: Attributes, *keys: str) -> str:
    """Return the first of these attributes that says something, as a clean name; "" where none does."""
    for key in keys:
        value = attributes.get(key)
        if value is not None:
            text = clean_name(value if isinstance(value, str) else to_json(value))
            if text:
                return text
    return ""


def jsonable(value: Value) -> Value:
    """Return a value that JSON can hold: bytes as base64, NaN and the infinities as words.

    >>> jsonable({"a": [float("nan"), b"hi", 1.5]})
    {'a': ['NaN', 'aGk=', 1.5]}
    """
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is float:
        return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if kind is bytes:
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    return [jsonable(item) for item in value]


def to_json(value: Value) -> str:
    """Return a value as JSON text."""
    return _ENCODER.encode(jsonable(value)).decode()


def attributes_text(attributes: Attributes, bytes_max: int = TEXT_BYTES_MAX) -> str | None:
    """Return attributes as a JSON object of at most about `bytes_max` bytes, None for none; CUT counts what is cut."""
    if not attributes:
        return None
    encoded = _ENCODER.encode({k: v if type(v) in _AS_IS else jsonable(v) for k, v in attributes.items()})
    if len(encoded) <= bytes_max:
        return encoded.decode()
    kept: Attributes = {}
    left = bytes_max - len(CUT) - 16
    for key, value in attributes.items():
        size = len(_ENCODER.encode({key: jsonable(value)}))
        if key != CUT and size <= left:
            kept[key] = value
            left -= size
    already = attributes.get(CUT)
    before = already if isinstance(already, int) else 0
    kept[CUT] = before + len(attributes) - len(kept) - (CUT in attributes)
    return to_json(kept)


def events_text(
    events: Sequence[Attributes], bytes_max: int = TEXT_BYTES_MAX, *, cut_name: str = CUT_EVENTS, more: int = 0
) -> str | None:
    """Return span events (or links) as a JSON array of at most about `bytes_max` bytes.

    A last one, called `cut_name`, counts what is cut, `more` that were cut before included.
    """
    kept: list[bytes] = []
    left = bytes_max
    for event in events:
        encoded = _ENCODER.encode(jsonable(event))
        left -= len(encoded) + 1
        if left < 0:
            break
        kept.append(encoded)
    cut = len(events) - len(kept) + more
    if cut:
        kept.append(_ENCODER.encode({"name": cut_name, "count": cut}))
    return f"[{b','.join(kept).decode()}]" if kept else None
