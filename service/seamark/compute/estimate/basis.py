"""Features, a score or a prediction -> columns whose weighted sum is a curve for each: for small additive models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]  # numbers with NaN, or texts with None

KNOTS = 10
ANSWER_KNOTS = 16  # of the prediction or score
LEVELS_MAX = 24
LEVEL_ROWS_MIN = 10


@dataclass(frozen=True)
class Numbers:
    """A number as weights of the knots around it; one column more for a missing value."""

    knots: FloatArray

    @property
    def width(self) -> int:
        return len(self.knots) + 1

    def put(self, out: FloatArray, values: npt.NDArray[Any]) -> None:
        """Write the columns of this feature, all of them 0 before."""
        known = np.isfinite(values)
        rows = np.arange(len(values))
        if len(self.knots) == 1:
            out[known, 0] = 1.0
        else:
            inside = np.clip(np.where(known, values, self.knots[0]), self.knots[0], self.knots[-1])
            left = np.clip(np.searchsorted(self.knots, inside, side="right") - 1, 0, len(self.knots) - 2)
            share = (inside - self.knots[left]) / (self.knots[left + 1] - self.knots[left])
            out[rows, left] = np.where(known, 1 - share, 0.0)
            out[rows, left + 1] = np.where(known, share, 0.0)
        out[~known, -1] = 1.0


@dataclass(frozen=True)
class Texts:
    """A level as a column of its own; one column more for all others and missing ones."""

    levels: Mapping[str, int]

    @property
    def width(self) -> int:
        return len(self.levels) + 1

    def put(self, out: FloatArray, values: npt.NDArray[Any]) -> None:
        """Write the columns of this feature, all of them 0 before."""
        last = len(self.levels)
        encoded = pa.array(values, pa.string(), from_pandas=True).dictionary_encode()
        places = np.array([*(self.levels.get(text, last) for text in encoded.dictionary.to_pylist()), last])
        out[np.arange(len(values)), places[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]] = 1.0


Basis = Numbers | Texts
Named = Sequence[tuple[str, Basis]]  # by feature; "" is the answer: a prediction or a score


def bases_of(columns: Columns, answer: FloatArray, told: FloatArray, most: int) -> tuple[tuple[str, Basis], ...]:
    """Return the basis of the answer and of `most` features at most: those that tell most of `told` on their own."""
    chosen = telling_most(columns, told, most)
    return ("", _numbers(answer, ANSWER_KNOTS)), *((name, _basis(columns[name])) for name in chosen)


def width(bases: Named) -> int:
    """Return how many columns design() makes."""
    return sum(basis.width for _, basis in bases) + 1


def design(bases: Named, columns: Columns, answer: FloatArray, block: slice = slice(None)) -> FloatArray:
    """Return the columns of the rows in `block`, the first of them 1."""
    rows = len(answer[block])
    made = np.zeros((rows, width(bases)))
    made[:, 0] = 1.0
    start = 1
    for name, basis in bases:
        if name == "":
            values = answer[block]
        elif name in columns:
            values = columns[name][block]
        else:  # a feature that the window does not have: missing in every row
            values = np.full(rows, np.nan if isinstance(basis, Numbers) else None)
        basis.put(made[:, start : start + basis.width], values)
        start += basis.width
    return made


def telling_most(columns: Columns, told: FloatArray, most: int) -> list[str]:
    """Return `most` features at most, those with most of the variance of `told` between their knots or levels."""
    if len(columns) <= most:
        return sorted(columns)
    between = {}
    for name, values in columns.items():
        basis = _basis(values)
        design = np.zeros((len(values), basis.width))
        basis.put(design, values)
        weight = design.sum(axis=0)
        means = told @ design / np.maximum(weight, 1e-9)
        between[name] = float((weight * (means - told.mean()) ** 2).sum())
    return sorted(sorted(between, key=lambda name: (-between[name], name))[:most])


def _basis(values: npt.NDArray[Any]) -> Basis:
    if values.dtype.kind == "f":
        return _numbers(values, KNOTS)
    names, counts = np.unique([value for value in values.tolist() if value is not None], return_counts=True)
    frequent = [str(names[place]) for place in np.argsort(-counts, kind="stable") if counts[place] >= LEVEL_ROWS_MIN]
    return Texts({name: number for number, name in enumerate(frequent[:LEVELS_MAX])})


def _numbers(values: npt.NDArray[Any], knots: int) -> Numbers:
    known = values[np.isfinite(values)]
    if not len(known):
        return Numbers(np.zeros(1))
    return Numbers(np.unique(np.quantile(known, np.linspace(0, 1, knots), method="nearest")))
