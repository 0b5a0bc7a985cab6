"""Checked predictions become one PREDICTIONS table: the names of a model version are united over the request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seamark.core.errors import BodyTooLarge
from seamark.core.feature_types import (
    CATEGORICAL,
    NUMERIC,
    VECTOR,
    WORDS,
    FixedType,
    TypeClash,
    Types,
    TypesOf,
    clash_reason,
)
from seamark.core.records import PREDICTIONS, Decoded, FeatureSchema, Refusal
from seamark.wire.tables import as_table
from seamark.wire.values import shown

NAMES_MAX = 1_000  # feature names of one model version in one request
MODELS_MAX = 1_000  # model versions in one request
CELLS_MAX = 20_000_000  # rows x names: a request of sparse rows must not unfold into gigabytes

_NUMERIC, _CATEGORICAL, _UNKNOWN_DIMENSION = 0, -1, -2  # kinds of a value; a vector's is its dimension


@dataclass(slots=True)
class Prediction:
    """One checked record. Features that are null stand in `unknown`: their kind is told by other records."""

    index: int
    model: str
    version: str
    prediction_id: str
    at_us: int
    trace_id: bytes | None
    segment: str | None
    number: float | None
    text: str | None
    scores: str | None
    latency_ms: float | None
    synthetic: bool
    numeric: dict[str, float] = field(default_factory=dict)
    categorical: dict[str, str] = field(default_factory=dict)
    vectors: dict[str, list[float]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def named(self) -> tuple[str, ...]:
        """Return the names of all features."""
        return (*self.numeric, *self.categorical, *self.vectors, *self.unknown)

    def kinds(self) -> Iterator[tuple[str, int]]:
        """Yield name and kind of each feature that is known."""
        yield from ((name, _NUMERIC) for name in self.numeric)
        yield from ((name, _CATEGORICAL) for name in self.categorical)
        yield from ((name, len(vector)) for name, vector in self.vectors.items())

    def value(self, name: str) -> float | str | list[float] | None:
        """Return what the record says of a feature."""
        return self.numeric.get(name, self.categorical.get(name, self.vectors.get(name)))


def build(
    predictions: Sequence[Prediction], refusals: Sequence[Refusal], received_us: int, types: TypesOf | None = None
) -> Decoded:
    """Return the predictions as a table in the order they came, with the schemas their rows name.

    Of one model version, a name that is a number in some records and a string in others keeps the kind that `types`
    fixes, else the kind most of them give it (of the first on a tie); the others are refused. Vectors of
    different dimensions are of one kind, but only most are taken. A name that is null
    throughout counts as numeric.
    """
    groups: dict[tuple[str, str], list[Prediction]] = {}
    refused = list(refusals)
    for prediction in predictions:
        name = (prediction.model, prediction.version)
        if name not in groups and len(groups) >= MODELS_MAX:
            reason = f"the request names more than {MODELS_MAX:,} models and versions"
            refused.append(Refusal(prediction.index, reason))
            continue
        groups.setdefault(name, []).append(prediction)
    rows: list[tuple[int, tuple[Any, ...]]] = []
    schemas: list[tuple[str, str, FeatureSchema]] = []
    cells, mixed = 0, False
    for (model, version), members in groups.items():
        united = _unite(members, types(model, version) if types else {}, refused)
        mixed = mixed or united.mixed
        if not united.kept:
            continue
        schema = united.schema
        cells += len(united.kept) * (schema.numbers + len(schema.categorical))
        if not cells_fit(cells):
            raise BodyTooLarge(f"the request unfolds into more than {CELLS_MAX:,} feature values; send smaller batches")
        schemas.append((model, version, schema))
        rows += [(prediction.index, _row(prediction, schema, received_us)) for prediction in united.kept]
    rows.sort(key=lambda row: row[0])
    table = as_table([row for _, row in rows], PREDICTIONS)
    return Decoded(
        tables={"predictions": table} if rows else {},
        refusals=tuple(sorted(refused, key=lambda refusal: refusal.index)),
        ids=tuple(row[2] for _, row in rows),
        schemas=tuple(dict.fromkeys((model, schema) for model, _, schema in schemas)),
        groups=tuple(schemas),
        places=tuple(index for index, _ in rows),
        mixed=mixed,
    )


def cells_fit(cells: int) -> bool:
    """Whether a request may unfold into so many feature values."""
    return cells <= CELLS_MAX


@dataclass(frozen=True)
class _United:
    """Records of one model version that agree, the schema they have, and whether others did not agree."""

    kept: Sequence[Prediction]
    schema: FeatureSchema
    mixed: bool


def _unite(members: Sequence[Prediction], types: Types, refused: list[Refusal]) -> _United:
    counts: dict[str, dict[int, int]] = {}  # name -> kind -> records that give it so, in the order they came
    room: list[Prediction] = []
    for member in members:
        named = member.named()
        if len(counts) + sum(name not in counts for name in named) > NAMES_MAX:
            reason = f"features: with this record the request names more than {NAMES_MAX:,} features of the model"
            refused.append(Refusal(member.index, reason))
            continue
        room.append(member)
        for name in named:
            counts.setdefault(name, {})
        for name, kind in member.kinds():
            counts[name][kind] = counts[name].get(kind, 0) + 1
    kinds = {name: max(count, key=count.__getitem__, default=_NUMERIC) for name, count in counts.items()}
    kinds |= {name: _fixed(types[name], counts[name]) for name in kinds if name in types}
    kept = [member for member in room if _agrees(member, kinds, types, refused)]
    used = {name for member in kept for name in member.named()}
    schema = FeatureSchema(
        numeric=tuple(sorted(name for name in used if kinds[name] in (_NUMERIC, _UNKNOWN_DIMENSION))),
        categorical=tuple(sorted(name for name in used if kinds[name] == _CATEGORICAL)),
        vectors=tuple(sorted((name, kinds[name]) for name in used if kinds[name] > 0)),
    )
    return _United(kept, schema, any(len({_type(kind) for kind in count}) > 1 for count in counts.values()))


def _fixed(fixed: FixedType, count: Mapping[int, int]) -> int:
    """Return the kind of a feature whose type is fixed; a vector's dimension is that of most, 0 where there is none."""
    if fixed.kind != VECTOR:
        return _NUMERIC if fixed.kind == NUMERIC else _CATEGORICAL
    dimensions = {kind: number for kind, number in count.items() if kind > 0}
    if not dimensions:
        return _UNKNOWN_DIMENSION if count else _NUMERIC  # null throughout: nobody knows how long
    return max(dimensions, key=dimensions.__getitem__)


def _agrees(member: Prediction, kinds: dict[str, int], types: Types, refused: list[Refusal]) -> bool:
    for name, kind in member.kinds():
        if kinds[name] != kind:
            refused.append(_refusal(member, name, kind, kinds[name], types))
            return False
    return True


def _refusal(member: Prediction, name: str, kind: int, right: int, types: Types) -> Refusal:
    value, sent = shown(member.value(name)), _type(kind)
    if name in types and sent != types[name].kind:
        clash = TypeClash(member.model, member.version, name, sent)
        return Refusal(member.index, clash_reason(clash, value, types[name]), clash)
    told = f"{value} is {_words(kind)}, but most records of this request have {_words(right)}"
    return Refusal(member.index, f"features.{name}: {told}; send one kind")


def _type(kind: int) -> str:
    return NUMERIC if kind == _NUMERIC else CATEGORICAL if kind == _CATEGORICAL else VECTOR


def _words(kind: int) -> str:
    return f"a list of {kind} number{'' if kind == 1 else 's'}" if kind > 0 else WORDS[_type(kind)]


def _numbers(member: Prediction, schema: FeatureSchema) -> list[float | None]:
    numbers = list(map(member.numeric.get, schema.numeric))
    for name, dimension in schema.vectors:
        numbers += member.vectors.get(name) or [None] * dimension
    return numbers


def _row(member: Prediction, schema: FeatureSchema, received_us: int) -> tuple[Any, ...]:
    """Return the row's values in the order of PREDICTIONS."""
    return (
        member.model,
        member.version,
        member.prediction_id,
        member.at_us,
        member.trace_id,
        member.segment,
        schema.schema_id,
        _numbers(member, schema),
        list(map(member.categorical.get, schema.categorical)),
        member.number,
        member.text,
        member.scores,
        member.latency_ms,
        member.synthetic,
        received_us,
    )
