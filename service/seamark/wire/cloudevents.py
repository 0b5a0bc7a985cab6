"""A CloudEvent of KServe's payload logger, headers and body, becomes one half of an inference.

Its headers are those of KServe's pkg/logger/worker.go, sent by CloudEvents' Go SDK in binary mode, which writes values
as they are: unlike section 3.1.3.2 of the HTTP binding says, nothing is percent-encoded. Ids are therefore taken as is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from seamark.core.errors import InputRefused, WrongMediaType
from seamark.core.inference import REQUEST, RESPONSE, Half
from seamark.wire.attributes import LOAD_TEST_AGENT, SYNTHETIC, VERSION, to_json
from seamark.wire.documents import parse_json
from seamark.wire.prediction_record import FEATURES_MAX, name_fault
from seamark.wire.values import RowRefused, clean_name, read_instant_us, read_name, read_trace_id, shown

TYPES = {
    "org.kubeflow.serving.inference.request": REQUEST,
    "org.kubeflow.serving.inference.response": RESPONSE,
}
ID_LENGTH_MAX = 240  # a row's place is added, and the whole is a prediction_id
PARAMETERS = ("model", "version", "features")  # of the URL
_PREDICTOR = "predictor"
_STRUCTURED = "application/cloudevents"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NUMBERED = re.compile(r"f[0-9]+")
_MARKED = re.compile(rf"(^|,)\s*{re.escape(SYNTHETIC)}\s*=\s*(test|bot)\s*(;|,|$)")

Pairs = Iterable[tuple[str, str]]


def read_event(headers: Pairs, query: Pairs, body: bytes, received_us: int) -> Half:
    """Return the half that an event carries; `headers` are names in lower case and values in Latin-1, as HTTP has them.

    The URL's parameters may name the model, its version and the features of rows without names. WrongMediaType: an
    event in structured or batched mode. InputRefused: no event, one of another kind, or an attribute is wrong.
    """
    given = _attributes(headers)
    _check_kind(given)
    asked = _parameters(query)
    try:
        return _half(given, asked, body, received_us)
    except RowRefused as refused:
        raise InputRefused(str(refused)) from None


def _half(given: Mapping[str, str], asked: Mapping[str, str], body: bytes, received_us: int) -> Half:
    metadata = _object(given.get("ce-metadata"), "ce-metadata")
    annotations = _object(given.get("ce-annotations"), "ce-annotations")
    sent = {name.lower(): text for name, value in metadata.items() if (text := _text(value))}
    version = asked.get("version") or _text(annotations.get(VERSION)) or given.get("ce-endpoint", "")
    trace = given.get("ce-traceparent") or sent.get("traceparent", "")
    segment = {
        name: clean_name(given[f"ce-{name}"])
        for name in ("namespace", "component", "endpoint")
        if given.get(f"ce-{name}")
    }
    return Half(
        model=asked["model"] if "model" in asked else _model(given),
        version=read_name(version, "version") if version.strip() else "",
        inference_id=_inference_id(given.get("ce-id")),
        half=TYPES[given["ce-type"]],
        at_us=read_instant_us(given["ce-time"], "ce-time") if "ce-time" in given else received_us,
        received_us=received_us,
        body=body,
        trace_id=_trace_id(trace),
        segment=to_json(segment) if segment else None,
        synthetic=_is_synthetic(sent),
        feature_names=_feature_names(asked.get("features", "")),
    )


# --- what was sent -------------------------------------------------------------------------------------------------


def _attributes(headers: Pairs) -> dict[str, str]:
    """Return the event's attributes and the content type, each once."""
    found: dict[str, str] = {}
    for name, raw in headers:
        if name != "content-type" and not name.startswith("ce-"):
            continue
        if name in found:
            raise InputRefused(f"the header {shown(name)} is there twice; an attribute has one value")
        try:
            found[name] = raw.encode("latin-1").decode()
        except UnicodeError:
            raise InputRefused(f"the header {shown(name)} is not UTF-8") from None
    return found


def _check_kind(given: Mapping[str, str]) -> None:
    if "ce-specversion" not in given:
        if given.get("content-type", "").strip().lower().startswith(_STRUCTURED):
            raise WrongMediaType("events in structured or batched mode are not read here; send one in binary mode")
        raise InputRefused("the header ce-specversion is missing: send a CloudEvent in binary mode, as KServe does")
    if given["ce-specversion"] != "1.0":
        raise InputRefused(f"ce-specversion: {shown(given['ce-specversion'])} is not read here; send 1.0")
    if given.get("ce-type") not in TYPES:
        raise InputRefused(f"ce-type: {shown(given.get('ce-type'))} is no inference; known are {', '.join(TYPES)}")


def _parameters(query: Pairs) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in query:
        if name not in PARAMETERS:
            raise InputRefused(f"{shown(name)} is no parameter of this URL; known are {', '.join(PARAMETERS)}")
        if name in found:
            raise InputRefused(f"the parameter {name} is there twice")
        found[name] = value
    try:
        if "model" in found:
            found["model"] = read_name(found["model"], "model")
    except RowRefused as refused:
        raise InputRefused(str(refused)) from None
    return found


def _object(text: str | None, name: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = parse_json(text)
    except InputRefused as refused:
        raise RowRefused(f"{name}: {refused.message}") from None
    if found is not None and not isinstance(found, dict):
        raise RowRefused(f"{name}: {shown(found)} is no object")
    return found or {}


def _text(value: Any) -> str:
    """Return a text, or the first of a list of them: KServe keeps a list for each header."""
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


# --- what it says --------------------------------------------------------------------------------------------------


def _model(given: Mapping[str, str]) -> str:
    """Return the service's name; a transformer's or an explainer's payloads are not its predictor's."""
    name = read_name(given.get("ce-inferenceservicename"), "ce-inferenceservicename")
    component = given.get("ce-component", "")
    return name if component in ("", _PREDICTOR) else read_name(f"{name}-{component}", "ce-component")


def _inference_id(value: str | None) -> str:
    found = read_name(value, "ce-id")
    if len(found) > ID_LENGTH_MAX:
        raise RowRefused(f"ce-id: has {len(found)} characters; at most {ID_LENGTH_MAX} are taken")
    return found if found == value else _odd(value)


def _odd(value: str | None) -> NoReturn:
    raise RowRefused(f"ce-id: {shown(value)} holds control characters or space around it")


def _trace_id(traceparent: str) -> bytes | None:
    """Return a traceparent's trace id; one that is malformed is to be ignored (W3C Trace Context, 3.2.2.3)."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    return read_trace_id(match[1], "traceparent") if match else None


def _is_synthetic(sent: Mapping[str, str]) -> bool:
    """Whether the inference was asked for by a load test or a probe, told by what those send."""
    if sent.get("seamark-synthetic") in ("test", "bot") or sent.get("user-agent", "").startswith(LOAD_TEST_AGENT):
        return True
    return _MARKED.search(sent.get("baggage", "")) is not None


def _feature_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    if len(names) > FEATURES_MAX:
        raise RowRefused(f"features: {len(names):,} names; at most {FEATURES_MAX:,} are taken")
    for place, name in enumerate(names):
        if fault := name_fault(name):
            raise RowRefused(f"features: the name {shown(name)} {fault}")
        if _NUMBERED.fullmatch(name) and name != f"f{place}":
            raise RowRefused(f"features: {shown(name)} is the name of another place, if that has none")
    if len(set(names)) < len(names):
        raise RowRefused("features: a name is there twice")
    return names
