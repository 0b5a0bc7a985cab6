"""An Open Inference Protocol request (KServe, Triton, MLServer) -> an answer with outputs, or why there are none.

The target is the whole URL that is sent to: `http://host/v2/models/NAME/infer`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seamark_load.reader import JsonAnswer, Reader, Told
from seamark_load.scenarios.scenario import Scenario


class _Outline(msgspec.Struct):
    """An answer without a look into its tensors, which may be long."""

    outputs: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_ABSENT = (b"", b"null")
_OUTLINES = msgspec.json.Decoder(_Outline)


class _Inference(JsonAnswer):
    def end(self) -> Told:
        try:
            outline = _OUTLINES.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            return Told("the answer is not of the inference protocol")
        if bytes(memoryview(outline.error)[:5]) not in _ABSENT:
            return Told("the answer is an error of the inference protocol")
        if bytes(memoryview(outline.outputs)[:5]) in _ABSENT:
            return Told("the answer has no outputs")
        return super().end() if self.wanted else Told()


def _reader(wanted: bool, gap: Callable[[float], None]) -> Reader:
    return _Inference(wanted)


OPEN_INFERENCE_V2 = Scenario("open_inference_v2", "POST", {"Content-Type": "application/json"}, reader=_reader)
