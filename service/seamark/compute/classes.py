"""Predictions, labels and scores as they were sent -> class numbers, and probabilities over the same classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from seamark.core.performance import class_name

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CLASSES_MAX = (
    50  # more distinct whole numbers than this are a quantity; more classes than this have no confusion matrix
)
SUM_TOLERANCE = 0.02  # scores that miss a sum of 1 by more are no probabilities
# Pairs of names of which the second is the positive class. Another pair has one only where somebody names it.
_POSITIVE = {("0", "1"), ("no", "yes"), ("n", "y"), ("negative", "positive"), ("neg", "pos"), ("-1", "1")}
_Scores = dict[str, float]


@dataclass(frozen=True)
class Classes:
    """Rows as numbers of `levels`: -1 where there is no value. `probabilities` is (rows, levels), NaN without scores.

    `probabilities` is None where there are too many classes for it, or no row has scores that are probabilities.
    """

    levels: tuple[str, ...]
    predicted: IntArray
    true: IntArray
    probabilities: FloatArray | None

    @property
    def positive(self) -> int | None:
        """The positive class's number where its name tells, None where it does not."""
        if len(self.levels) != 2:
            return None
        low, high = (level.lower() for level in self.levels)
        return 1 if (low, high) in _POSITIVE else 0 if (high, low) in _POSITIVE else None


@dataclass(frozen=True)
class Outcomes:
    """What was predicted or what was true, as the lake has it: numbers with NaN, text with None."""

    number: FloatArray
    text: npt.NDArray[Any]

    @property
    def quantities(self) -> bool:
        """Whether there is a number that names no class: one that is not whole."""
        numbers = self.number[np.isfinite(self.number)]
        return bool((numbers != np.round(numbers)).any())


def are_classes(*sides: Outcomes) -> bool:
    """Whether the outcomes are classes: text anywhere, or few distinct whole numbers.

    A model that predicts numbers that are not whole, and no text, predicts quantities, whatever a label says.
    """
    first = sides[0]
    if first.quantities and all(value is None for value in first.text.tolist()):
        return False
    if any(any(value is not None for value in side.text.tolist()) for side in sides):
        return True
    if any(side.quantities for side in sides):
        return False
    numbers = np.concatenate([side.number for side in sides])
    return len(np.unique(numbers[np.isfinite(numbers)])) <= CLASSES_MAX


def encode(
    predicted: Outcomes, true: Outcomes, scores: npt.NDArray[Any], *, levels: Sequence[str] | None = None
) -> Classes:
    """Return both sides and the scores over common classes: those of all three, or exactly the given `levels`.

    Rows of the three are aligned, but `true` may have no rows. With `levels`, a class that is none of them counts as
    no value.
    """
    objects = _decode(scores)
    named = [_named(side) for side in (predicted, true)]
    if levels is None:
        found = {name for side in named for name in side.names if name is not None}
        known = found | (
            {class_name(np.nan, key) or key for keys in _keys(objects) for key in keys} if objects else set()
        )
        levels = sorted(known if len(known) <= CLASSES_MAX else found)
    numbers = {name: number for number, name in enumerate(levels)}
    codes = [side.codes(numbers) for side in named]
    matrix = _matrix(objects, numbers) if len(levels) <= CLASSES_MAX else None
    return Classes(tuple(levels), codes[0], codes[1], matrix)


@dataclass(frozen=True)
class _Named:
    """Rows as numbers of distinct values, and the class name of each value."""

    places: IntArray
    names: list[str | None]

    def codes(self, numbers: dict[str, int]) -> IntArray:
        """Each row's class number, -1 where its name is none of them."""
        of_value = [-1 if name is None else numbers.get(name, -1) for name in self.names]
        return np.array([*of_value, -1], dtype=np.int64)[self.places]


def _named(side: Outcomes) -> _Named:
    values, places = np.unique(side.number, return_inverse=True)
    names = [class_name(value, None) for value in values.tolist()]
    texts = side.text.tolist()
    if any(text is not None for text in texts):
        known: dict[str, int] = {}
        for row, text in enumerate(texts):
            if text is not None:
                places[row] = len(values) + known.setdefault(text, len(known))
        names += [class_name(np.nan, text) for text in known]
    return _Named(places, names)


def _decode(scores: npt.NDArray[Any]) -> list[_Scores | None]:
    """The scores of each row, None where there are none; one call for all rows, or row by row where one is odd."""
    texts = scores.tolist()
    try:
        joined = f"[{','.join('null' if text is None else text for text in texts)}]"
        found = msgspec.json.decode(joined, type=list[_Scores | None])
        if len(found) == len(texts):
            return found
    except (msgspec.MsgspecError, UnicodeEncodeError):
        pass
    return [None if text is None else _decode_one(text) for text in texts]


def _decode_one(text: str) -> _Scores | None:
    try:
        return msgspec.json.decode(text, type=_Scores)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None


def _keys(objects: list[_Scores | None]) -> set[tuple[str, ...]]:
    return {tuple(row) for row in objects if row}


def _matrix(objects: list[_Scores | None], numbers: dict[str, int]) -> FloatArray | None:
    """Probabilities by class; NaN throughout a row whose scores are none.

    A class that a row does not name has the probability 0; of two classes the one left out has what is left.
    """
    matrix = np.full((len(objects), len(numbers)), np.nan)
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(objects):
        if row:
            groups.setdefault(tuple(row), []).append(place)
    for keys, places in groups.items():
        columns = [numbers.get(class_name(np.nan, key) or key, -1) for key in keys]
        if -1 in columns or len(set(columns)) < len(columns):
            continue  # a class nobody knows, or one class twice
        flat = chain.from_iterable(row.values() for row in map(objects.__getitem__, places) if row)
        values = np.fromiter(flat, np.float64, len(places) * len(keys)).reshape(len(places), len(keys))
        part = np.zeros((len(places), len(numbers)))
        part[:, columns] = values
        if len(columns) == 1 and len(numbers) == 2:
            part[:, 1 - columns[0]] = 1 - values[:, 0]
        total = part.sum(axis=1)
        usable = (part >= 0).all(axis=1) & (part <= 1).all(axis=1) & (np.abs(total - 1) <= SUM_TOLERANCE)
        part[~usable] = np.nan
        matrix[places] = part / np.where(usable, total, 1.0)[:, None]
    return None if np.isnan(matrix).all() else matrix
