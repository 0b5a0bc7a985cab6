"""Checked predictions become one PREDICTIONS table: the names of a model version are united over the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seamark.core.errors import BodyTooLarge
from seamark.core.feature_types import CATEGORICAL, NUMERIC, WORDS, TypeClash, Types, TypesOf, clash_reason
from seamark.core.records import PREDICTIONS, Decoded, FeatureSchema, Refusal
from seamark.wire.tables import as_table
from seamark.wire.values import shown

NAMES_MAX = 1_000  # feature names of one model version in one request
MODELS_MAX = 1_000  # model versions in one request
CELLS_MAX = 20_000_000  # rows x names: a request of sparse rows must not unfold into gigabytes

_NUMERIC, _CATEGORICAL = 0, 1
_KINDS = (NUMERIC, CATEGORICAL)


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
    unknown: list[str] = field(default_factory=list)


def build(
    predictions: Sequence[Prediction], refusals: Sequence[Refusal], received_us: int, types: TypesOf | None = None
) -> Decoded:
    """Return the predictions as a table in the order they came, with the schemas their rows name.

    Of one model version, a name that is a number in some records and a string in others keeps the kind that `types`
    fixes, else the kind most of them give it (of the first on a tie); the others are refused. A name that is null
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
        cells += len(united.kept) * (len(schema.numeric) + len(schema.categorical))
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
    counts: dict[str, list[int]] = {}  # name -> records that give it as a number, as a string
    first: dict[str, int] = {}
    room: list[Prediction] = []
    for member in members:
        named = (*member.numeric, *member.categorical, *member.unknown)
        if len(counts) + sum(name not in counts for name in named) > NAMES_MAX:
            reason = f"features: with this record the request names more than {NAMES_MAX:,} features of the model"
            refused.append(Refusal(member.index, reason))
            continue
        room.append(member)
        for name in named:
            counts.setdefault(name, [0, 0])
        for kind, values in ((_NUMERIC, member.numeric), (_CATEGORICAL, member.categorical)):
            for name in values:
                counts[name][kind] += 1
                first.setdefault(name, kind)
    kinds = {name: _kind(count, first.get(name, _NUMERIC)) for name, count in counts.items()}
    kinds |= {name: _KINDS.index(fixed.kind) for name, fixed in types.items() if name in kinds}
    kept = [member for member in room if _agrees(member, kinds, types, refused)]
    used = {name for member in kept for name in (*member.numeric, *member.categorical, *member.unknown)}
    schema = FeatureSchema(
        numeric=tuple(sorted(name for name in used if kinds[name] == _NUMERIC)),
        categorical=tuple(sorted(name for name in used if kinds[name] == _CATEGORICAL)),
    )
    return _United(kept, schema, any(all(count) for count in counts.values()))


def _kind(count: Sequence[int], first: int) -> int:
    return first if count[0] == count[1] else int(count[1] > count[0])


def _agrees(member: Prediction, kinds: dict[str, int], types: Types, refused: list[Refusal]) -> bool:
    given: tuple[tuple[int, dict[str, Any]], ...] = ((_NUMERIC, member.numeric), (_CATEGORICAL, member.categorical))
    for kind, values in given:
        for name, value in values.items():
            if kinds[name] != kind:
                refused.append(_refusal(member, name, value, kind, types))
                return False
    return True


def _refusal(member: Prediction, name: str, value: Any, kind: int, types: Types) -> Refusal:
    if name in types:
        clash = TypeClash(member.model, member.version, name, _KINDS[kind])
        return Refusal(member.index, clash_reason(clash, shown(value), types[name]), clash)
    told = f"{shown(value)} is {WORDS[_KINDS[kind]]}, but most records of this request have {WORDS[_KINDS[1 - kind]]}"
    return Refusal(member.index, f"features.{name}: {told}; send one kind")


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
        list(map(member.numeric.get, schema.numeric)),
        list(map(member.categorical.get, schema.categorical)),
        member.number,
        member.text,
        member.scores,
        member.latency_ms,
        member.synthetic,
        received_us,
    )
