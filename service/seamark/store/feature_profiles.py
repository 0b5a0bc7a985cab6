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

    `schemas` are those that may occur, by schema_id. Lists of a wrong length are missing values. A feature that is
    numbers in some rows and text in others is what most values are. Without rows there are no features.
    """
    parts = _Parts()
    for schema_id, schema in schemas.items():
        asked = {**parameters, "schema_id": schema_id}
        # Vectors stand behind the single numbers, and are read by whole rows elsewhere.
        singles = f"if(len(numeric) = {schema.numbers}, numeric[1:{len(schema.numeric)}], NULL) AS numeric"
        numeric_list = singles if schema.vectors else "numeric"
        found = lake.query(f"SELECT {numeric_list} {source} AND schema_id = $schema_id", asked, within=within)
        if not found.num_rows:
            continue
        chunks = found["numeric"].chunks
        del found  # so that each chunk goes when it is used up
        parts.add_numbers(schema, chunks, len(schema.numeric))
        if schema.categorical:
            # Texts are counted where they lie: none of them becomes a Python object.
            counted = lake.query(
                "SELECT place, level, count(*) AS n FROM (SELECT unnest(categorical) AS level,"
                f" unnest(range(len(categorical))) AS place {source} AND schema_id = $schema_id"
                " AND len(categorical) = $width) GROUP BY ALL",
                {**asked, "width": len(schema.categorical)},
                within=within,
            )
            parts.add_texts(schema, counted)
    return parts.profiles(sampled=sampled)


def profile_models(
    lake: Lake,
    source: str,
    parameters: Mapping[str, Any],
    schemas: Mapping[str, Mapping[int, FeatureSchema]],
    *,
    within: Within | None = None,
) -> dict[str, FeatureProfiles]:
    """Return the profiles of each model that `schemas` names, as profile_rows() of it alone would, read in one go.

    `source` has the model too. Rows of many models lie in the same files: read once for each, they would be unpacked
    as often as there are models.
    """
    found = lake.query(f"SELECT model, schema_id, numeric {source}", parameters, within=within)
    numeric = {key: found["numeric"].take(places) for key, places in _places(found, schemas)}
    del found
    counted = lake.query(
        "SELECT model, schema_id, width, place, level, count(*) AS n FROM (SELECT model, schema_id,"
        " len(categorical) AS width, unnest(categorical) AS level, unnest(range(len(categorical))) AS place"
        f" {source}) GROUP BY ALL",
        parameters,
        within=within,
    )
    categorical = {}
    for (model, schema_id), places in _places(counted, schemas):
        part = counted.take(places)
        fits = np.asarray(part["width"]) == len(schemas[model][schema_id].categorical)
        categorical[model, schema_id] = part.filter(pa.array(fits))
    profiles = {}
    for model, known in schemas.items():
        parts = _Parts()
        for schema_id, schema in known.items():
            if (model, schema_id) in numeric:
                parts.add_numbers(schema, numeric.pop((model, schema_id)).chunks, schema.numbers)
                if schema.categorical:
                    parts.add_texts(schema, categorical.get((model, schema_id), counted.slice(0, 0)))
        profiles[model] = parts.profiles(sampled=False)
    return profiles


def _places(
    found: pa.Table, schemas: Mapping[str, Mapping[int, FeatureSchema]]
) -> Iterator[tuple[tuple[str, int], pa.Array]]:
    """Yield each known model and schema of some rows with the places of theirs."""
    models = found["model"].combine_chunks().dictionary_encode()
    codes, ids = np.asarray(models.indices), found["schema_id"].to_numpy()
    order = np.lexsort((ids, codes))
    starts = np.flatnonzero(np.append(True, (np.diff(codes[order]) != 0) | (np.diff(ids[order]) != 0))[: len(order)])
    for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True):
        key = (models.dictionary[int(codes[order[start]])].as_py(), int(ids[order[start]]))
        if key[1] in schemas.get(key[0], ()):
            yield key, pa.array(np.sort(order[start:end]))


class _Parts:
    """The features of rows of one schema after the other, until all are there."""

    def __init__(self) -> None:
        self._rows = 0
        self._numeric: defaultdict[str, list[FloatArray]] = defaultdict(list)
        self._categorical: defaultdict[str, list[Levels]] = defaultdict(list)

    def add_numbers(self, schema: FeatureSchema, chunks: list[pa.ListArray], length: int) -> None:
        """Add rows by their numbers, lists of this length that begin with the single ones; `chunks` are used up."""
        self._rows += sum(map(len, chunks))
        for name, values in zip(schema.numeric, _columns(chunks, len(schema.numeric), length), strict=True):
            self._numeric[name].append(values)

    def add_texts(self, schema: FeatureSchema, counted: pa.Table) -> None:
        """Add what those rows have in texts, as (place, level, n)."""
        for name, levels in zip(schema.categorical, _levels(counted, len(schema.categorical)), strict=True):
            self._categorical[name].append(levels)

    def profiles(self, *, sampled: bool) -> FeatureProfiles:
        """Return them whole."""
        numbers = {name: sorted_numbers(parts, self._rows) for name, parts in self._numeric.items()}
        texts = {name: joined(parts, self._rows) for name, parts in self._categorical.items()}
        for name in numbers.keys() & texts.keys():
            # Null throughout, a feature lies under numbers until rows tell its type; and a reference may change it.
            if numbers[name].rows < texts[name].rows:
                del numbers[name]
            else:
                del texts[name]
        return FeatureProfiles(numbers, texts, self._rows, sampled)


def _columns(chunks: list[pa.ListArray], width: int, length: int) -> Iterator[FloatArray]:
    """Return the first `width` columns of a list column, each an array of its own, without lists of another length.

    `chunks` are used up: each gives its memory back while the columns, which take theirs as they are filled, grow.
    """
    turned = np.empty((width, sum(map(len, chunks))))
    chunks.reverse()
    end = 0
    while chunks:
        chunk = chunks.pop()
        fits = chunk.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False) == length
        values = chunk.flatten() if fits.all() else chunk.filter(pa.array(fits)).flatten()
        matrix = values.to_numpy(zero_copy_only=False).reshape(int(fits.sum()), length)[:, :width]
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
