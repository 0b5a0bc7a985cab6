"""What a model answered, in a window and in its reference, becomes columns that are judged like those of features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]

CLASSES_MAX = 20  # whose scores are watched: those most rows of the reference tell
SCORES_ROWS_MAX = 20_000  # whose scores are read, of a window and of a reference
_SCORES = msgspec.json.Decoder(dict[str, float])


class Answered(Protocol):
    """Answers, arrays aligned: numbers with NaN, text with None; scores are JSON objects of numbers, or None."""

    @property
    def number(self) -> npt.NDArray[np.float64]: ...
    @property
    def text(self) -> npt.NDArray[Any]: ...
    @property
    def scores(self) -> npt.NDArray[Any]: ...


def answer_columns(
    reference: Answered, current: Answered, taken: Sequence[str] = ()
) -> tuple[dict[str, Column], dict[str, Column], dict[str, str]]:
    """Return (reference, window, kinds) of `prediction` and of `scores.CLASS`, as far as the reference tells them.

    Numbers are float64 with NaN, words objects with None. The reference decides: words where it holds any, else
    numbers; numbers of a window are then words too, whole ones without a fraction. A name among `taken`, which are
    those of features, is written in parentheses. Of scores about SCORES_ROWS_MAX rows are read.
    """
    before: dict[str, Column] = {}
    after: dict[str, Column] = {}
    kinds: dict[str, str] = {}
    if np.isfinite(reference.number).any() or any(text is not None for text in reference.text.tolist()):
        words = any(text is not None for text in reference.text.tolist())
        name = _free("prediction", taken)
        kinds[name] = "categorical" if words else "numeric"
        before[name], after[name] = (_words(side) if words else side.number for side in (reference, current))
    told = _decoded(reference)
    classes = Counter(name for scores in told for name in scores)
    now = _decoded(current) if classes else []
    for label, _ in classes.most_common(CLASSES_MAX):
        name = _free(f"scores.{label}", taken)
        kinds[name] = "numeric"
        before[name], after[name] = _scores(told, label), _scores(now, label)
    # A column without a value, of a window with rows, was not sent: that is not the same as nulls.
    missing = [name for name, kind in kinds.items() if len(after[name]) and not _any(after[name], kind)]
    return before, {name: column for name, column in after.items() if name not in missing}, kinds


def _free(name: str, taken: Sequence[str]) -> str:
    return f"({name})" if name in taken else name


def _any(column: Column, kind: str) -> bool:
    if kind == "numeric":
        return bool(np.isfinite(column).any())
    return any(value is not None for value in column.tolist())


def _words(side: Answered) -> Column:
    out = np.array(side.text, dtype=object)
    for row in np.flatnonzero(np.isfinite(side.number)).tolist():
        number = float(side.number[row])
        out[row] = str(int(number)) if number == int(number) else repr(number)
    return out


def _decoded(side: Answered) -> list[Mapping[str, float]]:
    step = -(-len(side.scores) // SCORES_ROWS_MAX) or 1  # evenly: a reference may lie in the order of its time
    return [{} if text is None else _SCORES.decode(text) for text in side.scores[::step].tolist()]


def _scores(told: Sequence[Mapping[str, float]], name: str) -> Column:
    return np.array([scores.get(name, np.nan) for scores in told], dtype=np.float64)
