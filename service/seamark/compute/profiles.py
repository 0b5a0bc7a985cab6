"""A column as it arrives becomes its profile: what drift methods ask of it, sorted and counted once.

A reference's profile is made once and kept; a window's once for all that look at it. Each kind of feature has a profile
of its own, a line in PROFILERS and methods that take it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.compute.columns import FloatArray, IntArray, as_floats, is_null
from seamark.compute.row_profile import rows as whole_rows
from seamark.compute.text_profile import texts
from seamark.compute.vector_profile import vectors

# Above this, sums and spreads of a column could overflow; a column is scaled down by a power of two before.
HUGE = 1e150
_MARKS = 16_384


class Profile(Protocol):
    """What every profile tells, whatever the kind of its feature."""

    @property
    def rows(self) -> int:
        """Rows that have a value."""

    @property
    def nulls(self) -> int:
        """Rows that have none."""

    @property
    def nbytes(self) -> int:
        """About how much memory it holds."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers: its finite values, ascending. NaN and infinities count as nulls."""

    ordered: FloatArray
    nulls: int = 0

    @property
    def rows(self) -> int:
        return len(self.ordered)

    @property
    def nbytes(self) -> int:
        return self.ordered.nbytes + 8 * _MARKS

    def has_levels_over(self, limit: int) -> bool:
        """Whether there are more than `limit` different values; of most columns the marks alone tell."""
        return len(self.marks) > limit or (self.rows > limit and len(self.levels[0]) > limit)

    @property
    def levels(self) -> tuple[FloatArray, IntArray]:
        """The different values, ascending, and how often each occurs."""
        differs = np.ones(self.rows, dtype=np.bool_)
        np.not_equal(self.ordered[1:], self.ordered[:-1], out=differs[1:])
        starts = np.flatnonzero(differs)
        return self.ordered[starts], np.diff(starts, append=self.rows)

    @cached_property
    def largest(self) -> float:
        """The greatest magnitude; 0 without values."""
        return max(abs(float(self.ordered[0])), abs(float(self.ordered[-1]))) if self.rows else 0.0

    @cached_property
    def spread(self) -> float:
        """The standard deviation (of all, not of a sample), in the column's own unit; see `scaled` for huge values."""
        return float(np.std(self.ordered))

    @cached_property
    def marks(self) -> FloatArray:
        """Some of the values, ascending, at most 16,385, evenly among the ranks; the greatest is one."""
        step = max(1, -(-self.rows // _MARKS))
        return np.unique(np.append(self.ordered[::step], self.ordered[-1:]))

    def counts_at(self, values: FloatArray) -> tuple[IntArray, IntArray]:
        """Return how many rows lie below each value, and how many at or below it."""
        below, upto = (np.searchsorted(self.ordered, values, side=side) for side in ("left", "right"))
        return below, upto


@dataclass(frozen=True, eq=False)
class Levels:
    """A column of texts: each level once, in no certain order, and how often it occurs."""

    names: pa.StringArray
    counts: IntArray
    nulls: int = 0

    @cached_property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def nbytes(self) -> int:
        return int(self.names.nbytes) + self.counts.nbytes


def numbers(column: npt.NDArray[Any]) -> Numbers:
    """Return the profile of a column of numbers, whose array stays as it is; NaN, infinities and None are nulls."""
    return sorted_numbers([np.array(as_floats(column))], len(column))


def sorted_numbers(parts: Sequence[FloatArray], rows: int) -> Numbers:
    """Return the profile of a column of `rows` rows; an only part is sorted where it lies."""
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    values.sort()  # infinities and NaN come to lie at the ends
    first, end = np.searchsorted(values, -np.inf, side="right"), np.searchsorted(values, np.inf, side="left")
    return Numbers(values[first:end], rows - int(end - first))


def levels(column: npt.NDArray[Any] | pa.Array | pa.ChunkedArray) -> Levels:
    """Return the profile of a column of texts: an Arrow column, or an array of objects in which None and NaN are nulls.

    What is no text counts as its text; a lone surrogate, which no UTF-8 has, as its escape.
    """
    if isinstance(column, np.ndarray):
        found = [None if is_null(value) else str(value) for value in column.tolist()]
        safe = [text.encode("utf-8", "backslashreplace") if text is not None else None for text in found]
        column = pa.array(safe, pa.binary()).cast(pa.string())
    counted = pc.value_counts(column.drop_null())
    names, counts = (counted.field(name) for name in ("values", "counts"))
    return Levels(names.cast(pa.string()), np.asarray(counts, dtype=np.int64), column.null_count)


def joined(parts: Sequence[Levels], rows: int) -> Levels:
    """Return the profile of a column of `rows` rows from those of parts of it."""
    if len(parts) == 1:
        return Levels(parts[0].names, parts[0].counts, rows - parts[0].rows)
    names = pa.chunked_array([part.names for part in parts], pa.string())
    table = pa.table({"name": names, "n": np.concatenate([part.counts for part in parts])})
    summed = table.group_by("name").aggregate([("n", "sum")])
    counts = np.asarray(summed["n_sum"], dtype=np.int64)
    return Levels(summed["name"].combine_chunks(), counts, rows - int(counts.sum()))


def of_kind(profile: Numbers | Levels, kind: str) -> Numbers | Levels:
    """Return the profile as one of the other kind, where a feature came as another: texts as numbers where they are."""
    if isinstance(profile, Levels) and kind == "numeric":
        values = as_floats(np.array(profile.names.to_pylist(), dtype=object))
        return sorted_numbers([np.repeat(values, profile.counts)], profile.rows + profile.nulls)
    if isinstance(profile, Numbers) and kind == "categorical":
        values, counts = profile.levels
        return Levels(pa.array([str(value) for value in values.tolist()], pa.string()), counts, profile.nulls)
    return profile


# How a column of each kind is profiled.
PROFILERS: dict[str, Callable[[Any], Profile]] = {
    "numeric": numbers,
    "categorical": levels,
    "text": texts,
    "vector": vectors,
    "multivariate": whole_rows,
}


def profile_all(columns: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Profile]:
    """Return the profiles of the columns whose kind is known, by name."""
    return {name: PROFILERS[kinds[name]](column) for name, column in columns.items() if name in kinds}


def scaled(*profiles: Numbers) -> tuple[list[FloatArray], int]:
    """Return ordered values over 2 ** exponent, and the exponent: 0 but where a value's square would overflow."""
    largest = max((profile.largest for profile in profiles), default=0.0)
    if largest < HUGE:
        return [profile.ordered for profile in profiles], 0
    exponent = int(np.frexp(largest)[1])
    return [np.ldexp(profile.ordered, -exponent) for profile in profiles], exponent


def count_levels(reference: Numbers | Levels, current: Numbers | Levels) -> tuple[IntArray, IntArray]:
    """Return how often each level occurs in the reference and in the window, aligned; levels of either are counted.

    Numbers come by value, texts by their counts, so that the order in which rows were read tells nowhere.
    """
    if isinstance(reference, Levels) and isinstance(current, Levels):
        return _count_texts(reference, current)
    assert isinstance(reference, Numbers) and isinstance(current, Numbers), "profiles of one kind are compared"
    (theirs, before), (ours, after) = reference.levels, current.levels
    values = np.unique(np.concatenate([theirs, ours]))
    aligned = np.zeros((2, len(values)), dtype=np.int64)
    aligned[0, np.searchsorted(values, theirs)] = before
    aligned[1, np.searchsorted(values, ours)] = after
    return aligned[0], aligned[1]


@lru_cache(maxsize=1)
def _count_texts(reference: Levels, current: Levels) -> tuple[IntArray, IntArray]:
    """Align by name, which takes longer than all else: a score and its null ask one after the other."""
    places = pc.index_in(current.names, value_set=reference.names)
    known = np.asarray(places.is_valid())
    after = np.zeros(len(reference.counts), dtype=np.int64)
    after[np.asarray(places.drop_null())] = current.counts[known]
    fresh = current.counts[~known]
    before, after = np.append(reference.counts, np.zeros_like(fresh)), np.append(after, fresh)
    order = np.lexsort((after, before))
    return before[order], after[order]
