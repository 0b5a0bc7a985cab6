"""Decoded predictions -> those whose features are what they are known to be, and a refusal for each other row.

The types of a model version are those of the reference in force, else those of the first rows that told them. Types are
in a request's feature schemas, so a schema that fits is looked at once in CHECKED_S, not row by row. A null says
nothing of a type: it fixes none and is refused by none.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.clock import Clock
from seamark.core.errors import SeamarkError, StoreUnavailable
from seamark.core.feature_types import CATEGORICAL, NUMERIC, VECTOR, FixedType, TypeClash, Types, clash_reason
from seamark.core.records import Decoded, FeatureSchema, Refusal
from seamark.engine import retyping
from seamark.engine.retyping import Move
from seamark.store.catalog import Catalog
from seamark.wire.values import shown

log = logging.getLogger(__name__)

CHECKED_S = 10.0  # so late a reference that another node put in force fixes types here
GROUPS_MAX = 10_000  # model versions, and their schemas, that are remembered
PENDING_MAX = 1_000  # different clashes between two writes of their counts
OTHER = TypeClash("", "", "", "")
TRIES_MAX = 3

Group = tuple[str, str, FeatureSchema]  # model, version, schema
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Fit:
    """A schema that agreed with all known types; `open` features had no value yet, so no type."""

    until_s: float
    open: frozenset[str]


class TypeGate:
    """What all doors of one process share. May be called from any thread; checked() reads and writes the catalog."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog, self._clock = catalog, clock
        self._lock = Lock()
        self._fits: OrderedDict[Group, _Fit] = OrderedDict()
        self._types: OrderedDict[tuple[str, str], tuple[float, dict[str, FixedType]]] = OrderedDict()
        self._full: set[tuple[str, str]] = set()  # models' versions beyond the types that are kept
        self._refused: Counter[TypeClash] = Counter()

    def fits(self, decoded: Decoded) -> bool:
        """Whether all rows are known to be right, without a look at the catalog."""
        if decoded.mixed:
            return False
        predictions = decoded.tables.get("predictions")
        if predictions is None:
            return True
        now_s = self._clock.monotonic_s()
        open_: dict[FeatureSchema, frozenset[str]] = {}
        for group in _groups(decoded):
            with self._lock:
                fit = self._fits.get(group)
            if fit is None or fit.until_s <= now_s:
                return False
            if fit.open:
                open_[group[2]] = open_.get(group[2], frozenset()) | fit.open
        return not any(_any_value(predictions, schema, names) for schema, names in open_.items())

    def types_of(self, model: str, version: str) -> Types:
        """Return the types that are fixed, by feature; they may be CHECKED_S old.

        While the catalog does not answer they may be older; StoreUnavailable where none were ever read.
        """
        name, now_s = (model, version), self._clock.monotonic_s()
        with self._lock:
            until_s, types = self._types.get(name, (now_s, None))
        if types is not None and until_s > now_s:
            return types
        try:
            types = known_types(self._catalog, model, version)
        except StoreUnavailable as error:
            if types is None:
                raise
            log.warning("types of %.100r are as they were last known: %s", model, error.message)
        with self._lock:
            self._types[name] = (now_s + CHECKED_S, types)
            self._types.move_to_end(name)
            _keep(self._types)
        return types

    def admit(self, decoded: Decoded, at: datetime, decode: Callable[..., Decoded]) -> Decoded:
        """Return what checked() returns, decoded again with known types where only those tell which rows are right.

        `decode` takes `types` (TypesOf).
        """
        if self.fits(decoded):
            return decoded
        return self.checked(decode(types=self.types_of) if decoded.mixed else decoded, at)

    def checked(self, decoded: Decoded, at: datetime) -> Decoded:
        """Return the rows that are right, and refusals of the others; types that are told for the first time are fixed.

        StoreUnavailable where the catalog does not answer: nobody knows then what is right.
        """
        predictions = decoded.tables.get("predictions")
        if predictions is None:
            self._note(decoded.refusals)
            return decoded
        kept = np.ones(predictions.num_rows, bool)
        refused: dict[int, Refusal] = {}
        moves: list[Move] = []
        for group in _groups(decoded):
            schema, rows = group[2], _rows(predictions, group)
            found, right = self._judged(predictions, group, rows, decoded, at)
            kept[list(found)] = False
            refused |= found
            if right != schema:
                moves.append(Move(group[0], rows & kept, schema, right))
        out = retyping.kept(decoded, kept, moves)
        refusals = [*decoded.refusals, *refused.values()]
        refusals.sort(key=lambda refusal: refusal.index)
        self._note(refusals)
        return replace(out, refusals=tuple(refusals))

    def forget(self, model: str) -> None:
        """Look at the catalog again for this model: its reference has changed."""
        with self._lock:
            for name in [name for name in self._types if name[0] == model]:
                self._types[name] = (-math.inf, self._types[name][1])
            for group in [group for group in self._fits if group[0] == model]:
                del self._fits[group]

    @property
    def counted(self) -> bool:
        """Whether refused rows were counted that are not written yet."""
        return bool(self._refused)

    def write_counts(self, at: datetime) -> None:
        """Write what was counted of refused rows since the last time; StoreUnavailable, and it waits for the next."""
        with self._lock:
            refused, self._refused = self._refused, Counter()
        if not refused:
            return
        try:
            self._catalog.feature_types.count_refused(refused, at)
        except SeamarkError:
            with self._lock:
                self._refused.update(refused)
            raise

    def try_to_write_counts(self, at: datetime) -> None:
        """Write them; what cannot be written now waits."""
        try:
            self.write_counts(at)
        except SeamarkError as error:
            log.warning("counts of refused rows wait to be written: %s", error.message)

    def _judged(
        self, table: pa.Table, group: Group, rows: Mask, decoded: Decoded, at: datetime
    ) -> tuple[dict[int, Refusal], FeatureSchema]:
        """Return the refusals of a group's rows by row of the table, and the schema that the others have."""
        model, version, schema = group
        kinds = _kinds(schema)
        tries = TRIES_MAX
        while True:
            types = self.types_of(model, version)
            refused = _clashes(table, group, rows, types, decoded)
            left = rows.copy()
            left[list(refused)] = False
            open_ = kinds.keys() - types.keys()
            told = {name for name in open_ if (_has_value(table, schema, rows, name) & left).any()}
            tries -= 1
            if not told or not tries or (model, version) in self._full:
                break
            self._fix(model, version, {name: kinds[name] for name in told}, at)
        right = _right(schema, types)
        if not refused and right == schema and not told:
            self._remember(group, frozenset(open_))
        elif (model, version) in self._full and not refused:
            self._remember(group, frozenset())
        return refused, right

    def _fix(self, model: str, version: str, kinds: Mapping[str, str], at: datetime) -> None:
        if not self._catalog.feature_types.fix(model, version, kinds, at):
            log.warning("%.100r has more features than types are kept of: new ones are taken as they come", model)
            if len(self._full) >= GROUPS_MAX:
                self._full.clear()
            self._full.add((model, version))
        self.forget(model)  # another node may have been first, with another type

    def _remember(self, group: Group, open_: frozenset[str]) -> None:
        with self._lock:
            self._fits[group] = _Fit(self._clock.monotonic_s() + CHECKED_S, open_)
            self._fits.move_to_end(group)
            _keep(self._fits)

    def _note(self, refusals: Iterable[Refusal]) -> None:
        with self._lock:
            for refusal in refusals:
                if refusal.clash is not None:
                    full = len(self._refused) >= PENDING_MAX and refusal.clash not in self._refused
                    self._refused[OTHER if full else refusal.clash] += 1


def known_types(catalog: Catalog, model: str, version: str) -> dict[str, FixedType]:
    """Return the types of a model version: those of the reference in force, of other features those of rows."""
    types = catalog.feature_types.of(model, version)
    found = catalog.references.in_force(model, version)
    if found is not None:
        reference, change = found
        kinds = _kinds(reference.schema)
        types |= {
            name: FixedType(kind, change.at, reference.id)
            for name, kind in kinds.items()
            if name not in reference.untyped
        }
    return types


def _clashes(table: pa.Table, group: Group, rows: Mask, types: Types, decoded: Decoded) -> dict[int, Refusal]:
    refused: dict[int, Refusal] = {}
    schema = group[2]
    for name, kind in _kinds(schema).items():
        if name not in types or types[name].kind == kind:
            continue
        clash = TypeClash(group[0], group[1], name, kind)
        for row in np.flatnonzero(_has_value(table, schema, rows, name)).tolist():
            if row not in refused:
                value = _value(table, schema, row, name, kind)
                refused[row] = Refusal(_index(decoded, row), clash_reason(clash, shown(value), types[name]), clash)
    return refused


def _index(decoded: Decoded, row: int) -> int:
    return int(decoded.places[row]) if len(decoded.places) else row


def _right(schema: FeatureSchema, types: Types) -> FeatureSchema:
    """Return the schema with each feature under the kind it is known to have."""
    dimensions = dict(schema.vectors)
    kinds = {name: types[name].kind if name in types else kind for name, kind in _kinds(schema).items()}
    # A vector that is null throughout has no dimension, and stays where it is.
    kinds |= {name: NUMERIC for name, kind in kinds.items() if kind == VECTOR and name not in dimensions}
    numeric, categorical, vectors = (
        tuple(sorted(name for name, found in kinds.items() if found == kind)) for kind in (NUMERIC, CATEGORICAL, VECTOR)
    )
    return FeatureSchema(numeric, categorical, tuple((name, dimensions[name]) for name in vectors))


def _kinds(schema: FeatureSchema) -> dict[str, str]:
    vectors = dict.fromkeys((name for name, _ in schema.vectors), VECTOR)
    return dict.fromkeys(schema.numeric, NUMERIC) | dict.fromkeys(schema.categorical, CATEGORICAL) | vectors


def _place(schema: FeatureSchema, name: str) -> int:
    """Return where in its list a feature lies; of a vector, its first number."""
    if name in schema.categorical:
        return schema.categorical.index(name)
    if name in schema.numeric:
        return schema.numeric.index(name)
    place = len(schema.numeric)
    for vector, dimension in schema.vectors:
        if vector == name:
            break
        place += dimension
    return place


def _value(table: pa.Table, schema: FeatureSchema, row: int, name: str, kind: str) -> Any:
    place = _place(schema, name)
    if kind == VECTOR:
        return table[NUMERIC][row].as_py()[place : place + dict(schema.vectors)[name]]
    return table[kind][row][place].as_py()


def _groups(decoded: Decoded) -> tuple[Group, ...]:
    """Return the model versions of the rows, each with its schema."""
    if decoded.groups:
        return decoded.groups
    schemas = {(model, schema.schema_id): schema for model, schema in decoded.schemas}
    named = decoded.tables["predictions"].select(["model", "version", "schema_id"])
    found = named.group_by(named.column_names).aggregate([]).to_pylist()
    return tuple((row["model"], row["version"], schemas[row["model"], row["schema_id"]]) for row in found)


def _rows(predictions: pa.Table, group: Group) -> Mask:
    same: Mask = predictions["schema_id"].to_numpy() == group[2].schema_id
    for name, value in (("model", group[0]), ("version", group[1])):
        same = same & pc.equal(predictions[name], value).to_numpy()
    return same


def _has_value(predictions: pa.Table, schema: FeatureSchema, rows: Mask, name: str) -> Mask:
    """Return which rows of the table hold a value of the feature; `rows` are those under the schema."""
    found = np.zeros(predictions.num_rows, bool)
    kind = CATEGORICAL if name in schema.categorical else NUMERIC
    found[rows] = _known(predictions, schema, rows, kind)[:, _place(schema, name)]
    return found


def _any_value(predictions: pa.Table, schema: FeatureSchema, names: frozenset[str]) -> bool:
    """Whether any row under the schema holds a value of any of these features."""
    rows = predictions["schema_id"].to_numpy() == schema.schema_id
    vectors = tuple(name for name, _ in schema.vectors)
    for kind, listed in ((NUMERIC, schema.numeric + vectors), (CATEGORICAL, schema.categorical)):
        places = [_place(schema, name) for name in listed if name in names]
        if places and _known(predictions, schema, rows, kind)[:, places].any():
            return True
    return False


def _known(predictions: pa.Table, schema: FeatureSchema, rows: Mask, kind: str) -> Mask:
    """Return which values are there, of these rows (all under the schema) times the schema's numbers or words."""
    lists = predictions[kind].combine_chunks()
    values = (lists if rows.all() else lists.filter(pa.array(rows))).flatten()
    width = schema.numbers if kind == NUMERIC else len(schema.categorical)
    known: Mask = values.is_valid().to_numpy(zero_copy_only=False)
    return known.reshape(-1, width)


def _keep(
    remembered: OrderedDict[Group, _Fit] | OrderedDict[tuple[str, str], tuple[float, dict[str, FixedType]]],
) -> None:
    while len(remembered) > GROUPS_MAX:
        remembered.popitem(last=False)
