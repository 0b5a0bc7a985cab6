"""A payload row -> the request body of a scenario.

They are made once, when a run is ordered: the load generator sends bytes as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from seamark.wire.values import RowRefused, shown

TENSOR_NUMBERS_MAX = 1_000_000

# A row and the model's name -> the body; RowRefused says why none can be made of it.
Body = Callable[[Mapping[str, Any], str], bytes]


def plain_json(row: Mapping[str, Any], model: str) -> bytes:
    """Return the row as JSON."""
    return _encoded(row)


def inference_v2(row: Mapping[str, Any], model: str) -> bytes:
    """Return an Open Inference Protocol request of one row: an input tensor of shape [1] for each feature.

    Numbers are FP64, whole numbers INT64, true and false BOOL, texts BYTES; a list of numbers is a tensor [1, n]. A row
    that has `inputs` is a request already. A feature without a value cannot be sent: a tensor has no place for it.
    """
    if "inputs" in row:
        return _encoded(row)
    if not row:
        raise RowRefused("a request needs at least one feature")
    return _encoded({"inputs": [_tensor(name, value) for name, value in row.items()]})


def _tensor(name: str, value: Any) -> dict[str, Any]:
    vector = isinstance(value, list | tuple)
    data = list(value) if vector else [value]
    if not 0 < len(data) <= TENSOR_NUMBERS_MAX:
        raise RowRefused(f"feature {shown(name)} holds {len(data):,} values; 1 to {TENSOR_NUMBERS_MAX:,} make a tensor")
    kinds = {type(item) for item in data}
    if kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {str}:
        datatype = "BYTES"
    elif kinds == {int} and all(-(2**63) <= item < 2**63 for item in data):
        datatype = "INT64"
    elif kinds <= {int, float}:
        datatype, data = "FP64", [_finite(name, item) for item in data]
    else:
        told = "a number, a string, true or false, or a list of one of them"
        raise RowRefused(f"feature {shown(name)}: {shown(value)} is not {told}")
    return {"name": name, "shape": [1, len(data)] if vector else [1], "datatype": datatype, "data": data}


def _finite(name: str, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number - number != 0.0:
        raise RowRefused(f"feature {shown(name)}: {shown(value)} is no finite number")
    return number


def openai_chat(row: Mapping[str, Any], model: str) -> bytes:
    """Return a chat completion request, streamed with its usage unless the row says otherwise.

    `messages` are sent as they are; `prompt` is short for one message of the user. What else the row holds
    (`max_tokens`, `temperature`, `model`) is sent along; without `model` the plan's is.
    """
    told = dict(row)
    prompt, messages = told.pop("prompt", None), told.pop("messages", None)
    if messages is None:
        if not isinstance(prompt, str):
            raise RowRefused(f"{shown(row)} has neither `prompt`, a text, nor `messages`, a list")
        messages = [{"role": "user", "content": prompt}]
    elif not isinstance(messages, list | tuple) or not messages:
        raise RowRefused(f"messages: {shown(messages)} is not a list of messages")
    body = {"model": model, "messages": messages, "stream": True, **told}
    if body["stream"] is True:
        body.setdefault("stream_options", {"include_usage": True})
    return _encoded(body)


def _encoded(document: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RowRefused(f"it cannot be written as JSON: {str(error)[:200]}") from None


# By the name of the scenario; loadtests/seamark_load/scenarios reads the answers.
BODIES: dict[str, Body] = {
    "http_json": plain_json,
    "open_inference_v2": inference_v2,
    "openai_chat": openai_chat,
}
