"""Feature lists as they lie in the lake, to profiles by name: texts are counted there, numbers come as plain arrays."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from seamark.compute.columns import FloatArray
from seamark.compute.profiles import Levels, Numbers, joined, sorted_numbers
from seamark.core.records import FeatureSchema
from seamark.store.lake import Lake, Within

PROFILED_ROWS_MAX = 1_000_000  # a number takes 8 bytes of memory
_BLOCK_ROWS = 4096  # of a matrix that is turned over: as much as the processor's cache holds


@dataclass(frozen=True)
class FeatureProfiles:
    """The features of `rows` rows, by name; a row without a value of a feature counts as null. `sampled`: of more."""

    numeric: Mapping[str, Numbers] = field(default_factory=dict)
    categorical: Mapping[str, Levels] = field(default_factory=dict)
    rows: int = 0
    sampled: bool = False

    @property
    def nbytes(self) -> int:
        """About how much memory they hold."""
        return sum(profile.nbytes for side in (self.numeric, self.categorical) for profile in side.values())


def profile_rows(
    lake: Lake,
    source: str,
    parameters: Mapping[str, Any],
    schemas: Mapping[int, FeatureSchema],
    *,
    within: Within | None = None,
    sampled: bool = False,
) -> FeatureProfiles:
    """Return the profiles of the rows of `source`, a FROM and WHERE with schema_id, numeric and categorical.

    `schemas` are those that may occur, by schema_id. Lists of a wrong length are missing values. Without rows there are
    no features.
    """
    numeric: defaultdict[str, list[FloatArray]] = defaultdict(list)
    categorical: defaultdict[str, list[Levels]] = defaultdict(list)
    rows = 0
    for schema_id, schema in schemas.items():
        asked = {**parameters, "schema_id": schema_id}
        found = lake.query(f"SELECT numeric {source} AND schema_id = $schema_id", asked, within=within)
        if not found.num_rows:
            continue
        rows += found.num_rows
        chunks = found["numeric"].chunks
        del found
        for name, values in zip(schema.numeric, _columns(chunks, len(schema.numeric)), strict=True):
            numeric[name].append(values)
        if not schema.categorical:
            continue
        # Texts are counted where they lie: none of them becomes a Python object.
        counted = lake.query(
            "SELECT place, level, count(*) AS n FROM (SELECT unnest(categorical) AS level,"
            f" unnest(range(len(categorical))) AS place {source} AND schema_id = $schema_id"
            " AND len(categorical) = $width) GROUP BY ALL",
            {**asked, "width": len(schema.categorical)},
            within=within,
        )
        for name, levels in zip(schema.categorical, _levels(counted, len(schema.categorical)), strict=True):
            categorical[name].append(levels)
    return FeatureProfiles(
        {name: sorted_numbers(parts, rows) for name, parts in numeric.items()},
        {name: joined(parts, rows) for name, parts in categorical.items()},
        rows,
        sampled,
    )


def _columns(chunks: list[pa.ListArray], width: int) -> Iterator[FloatArray]:
    """Return the columns of a list column, each an array of its own, without rows whose list has another length.

    `chunks` are used up: each gives its memory back while the columns, which take theirs as they are filled, grow.
    """
    turned = np.empty((width, sum(map(len, chunks))))
    chunks.reverse()
    end = 0
    while chunks:
        chunk = chunks.pop()
        fits = chunk.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False) == width
        values = chunk.flatten() if fits.all() else chunk.filter(pa.array(fits)).flatten()
        matrix = values.to_numpy(zero_copy_only=False).reshape(int(fits.sum()), width)
        for first in range(0, len(matrix), _BLOCK_ROWS):
            block = matrix[first : first + _BLOCK_ROWS]
            turned[:, end + first : end + first + len(block)] = block.T
        end += len(matrix)
    return iter(turned[:, :end])


def _levels(counted: pa.Table, width: int) -> Iterator[Levels]:
    """Return the levels at each place of the lists, from rows (place, level or null, n)."""
    names = counted["level"].combine_chunks()
    counts, places = counted["n"].to_numpy(), counted["place"].to_numpy()
    there = np.asarray(names.is_valid())
    for place in range(width):
        chosen = np.flatnonzero(there & (places == place))
        yield Levels(names.take(pa.array(chosen)), counts[chosen].astype(np.int64))
