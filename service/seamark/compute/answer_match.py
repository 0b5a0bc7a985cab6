"""An answer under load and the recorded one -> the same or not.

Numbers are the same within a relative tolerance, everything else exactly. Where in an answer the prediction stands is a
dotted path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

# Tried in this order where a plan does not say where the prediction stands.
USUAL_PATHS = ("prediction", "predictions.0", "outputs.0.data.0")
TOLERANCE = 1e-6
_TINY = 1e-12  # what differs by less is the same: near 0 there is no relative difference
_DEPTH_MAX = 20

MISSING = object()


def find(document: Any, path: str) -> Any:
    """Return what stands at a dotted path of names and places, MISSING where nothing does.

    >>> find({"outputs": [{"data": [0.5]}]}, "outputs.0.data.0")
    0.5
    """
    for part in path.split("."):
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, Sequence) and not isinstance(document, str | bytes) and part.isascii():
            place = int(part) if part.isdigit() and len(part) < 10 else -1
            if not 0 <= place < len(document):
                return MISSING
            document = document[place]
        else:
            return MISSING
    return document


def matches(answer: Any, recorded: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether an answer is the recorded one. True and false are 1 and 0, as the prediction log keeps them.

    >>> matches(0.1 + 0.2, 0.3), matches(True, 1.0), matches("yes", "no")
    (True, True, False)
    """
    return _same(answer, recorded, tolerance, _DEPTH_MAX)


def _same(answer: Any, recorded: Any, tolerance: float, depth: int) -> bool:
    if isinstance(answer, int | float) and isinstance(recorded, int | float):
        try:
            return isclose(answer, recorded, rel_tol=tolerance, abs_tol=_TINY)
        except OverflowError:  # an integer beyond any float
            return bool(answer == recorded)
    if depth and isinstance(answer, list) and isinstance(recorded, list):
        return len(answer) == len(recorded) and all(
            _same(a, b, tolerance, depth - 1) for a, b in zip(answer, recorded, strict=True)
        )
    if depth and isinstance(answer, dict) and isinstance(recorded, dict):
        return answer.keys() == recorded.keys() and all(
            _same(answer[key], recorded[key], tolerance, depth - 1) for key in answer
        )
    return type(answer) is type(recorded) and bool(answer == recorded)
