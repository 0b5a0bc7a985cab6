"""The two logged halves of an inference, a request's body and its response's, become prediction rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seamark.core.errors import InputRefused
from seamark.core.feature_types import TypesOf
from seamark.core.inference import REQUEST, Half
from seamark.core.records import Decoded
from seamark.wire.documents import parse_json
from seamark.wire.inference_rows import UNKNOWN, Inputs, Outcome, Outcomes, Scalar
from seamark.wire.inference_tensors import Tensor, binary_bytes, read_tensors
from seamark.wire.inference_v1 import read_instances, read_predictions
from seamark.wire.inference_v2 import read_inputs, read_outputs
from seamark.wire.prediction_record import read_prediction
from seamark.wire.prediction_rows import Prediction, build

FEATURES_CUT, OUTCOMES_CUT = CUT = ("features", "outcomes")
_SPACE = b" \t\r\n"
_GZIP = b"\x1f\x8b"
_FORMS = {
    "request": 'a request is {"instances": [...]} or {"inputs": [tensors]}',
    "response": 'a response is {"predictions": [...]} or {"outputs": [tensors]}',
}
_OBJECT = json.JSONDecoder()


@dataclass(frozen=True)
class Joined:
    """The predictions of one inference; `cut` tells what a prediction record does not take."""

    decoded: Decoded
    cut: dict[str, int]


def check_half(half: Half) -> None:
    """InputRefused or BodyTooLarge where the body cannot be read: said while its sender is still there."""
    if half.half == REQUEST:
        read_request(half.body, half.feature_names)
    else:
        read_response(half.body)


def join(request: Half, response: Half, types: TypesOf | None = None) -> Joined:
    """Return the rows of an inference: row i has prediction_id `<id>-<i>`, an only row `<id>`.

    Where request and response have not the same number of rows, all outcomes are unknown and counted. InputRefused or
    BodyTooLarge where a half cannot be read. `types` are those of decode_predictions().
    """
    inputs, outcomes = read_request(request.body, request.feature_names), read_response(response.body)
    cut = {FEATURES_CUT: inputs.cut, OUTCOMES_CUT: outcomes.cut}
    if len(outcomes.rows) != len(inputs.rows):
        outcomes = Outcomes([UNKNOWN] * len(inputs.rows))
        cut[OUTCOMES_CUT] = len(inputs.rows)
    received_us = max(request.received_us, response.received_us)
    only = len(inputs.rows) == 1
    rows = [
        _row(request, response, index, "" if only else f"-{index}", features, outcome)
        for index, (features, outcome) in enumerate(zip(inputs.rows, outcomes.rows, strict=True))
    ]
    return Joined(build(rows, (), received_us, types), {what: count for what, count in cut.items() if count})


def _row(
    request: Half, response: Half, index: int, suffix: str, features: Mapping[str, Scalar], outcome: Outcome
) -> Prediction:
    record: dict[str, Any] = {
        "model": request.model,
        "version": request.version,
        "prediction_id": f"{request.inference_id}{suffix}",
        "features": features,
        "prediction": outcome.value,
        "scores": outcome.scores,
        "synthetic": request.synthetic or response.synthetic,
    }
    row = read_prediction(record, index, request.at_us, str)
    row.segment = request.segment
    row.trace_id = request.trace_id or response.trace_id
    return row


def read_request(body: bytes, feature_names: Sequence[str] = ()) -> Inputs:
    """Return the rows that a model server was sent, by either protocol. InputRefused, BodyTooLarge."""
    document, size = _document(body, "inputs", "request")
    if "instances" in document:
        return read_instances(document["instances"], feature_names)
    return read_inputs(_tensors(document, size, body, "inputs"), feature_names)


def read_response(body: bytes) -> Outcomes:
    """Return what a model server answered, by either protocol. InputRefused, BodyTooLarge."""
    document, size = _document(body, "outputs", "response")
    if "predictions" in document:
        return read_predictions(document["predictions"])
    return read_outputs(_tensors(document, size, body, "outputs"))


def _document(body: bytes, tensors: str, half: str) -> tuple[dict[str, Any], int]:
    """Return the JSON object a body begins with, and its bytes."""
    if body.startswith(_GZIP):
        raise InputRefused("the payload is compressed, and its logger does not say so: have clients send it plain")
    try:
        document, size = parse_json(body), len(body.rstrip(_SPACE))  # bytes behind it may look like space
    except InputRefused:
        end = _object_bytes(body)
        if end is None:
            raise
        document, size = parse_json(body[:end]), end
    known = ("instances" if half == "request" else "predictions", tensors)
    if not isinstance(document, dict) or not any(name in document for name in known):
        raise InputRefused(f"the payload is of no protocol that is read here; {_FORMS[half]}")
    return document, size


def _object_bytes(body: bytes) -> int | None:
    """Return where the first JSON object of a body ends, None where there is none.

    Inference-Header-Content-Length would say so too, but a logger keeps at most the request's, for both halves.
    """
    if not body.startswith(b"{"):
        return None
    try:
        return _OBJECT.raw_decode(body.decode("latin-1"))[1]
    except (ValueError, RecursionError):
        return None


def _tensors(document: dict[str, Any], size: int, body: bytes, what: str) -> list[Tensor]:
    described = document[what]
    behind = binary_bytes(described)
    if len(body) - behind < size or body[size : len(body) - behind].strip(_SPACE):
        raise InputRefused(
            f"{what}: the tensors say they have {behind:,} bytes behind the JSON, there are {len(body) - size:,}"
        )
    return read_tensors(described, memoryview(body)[len(body) - behind :], what)
