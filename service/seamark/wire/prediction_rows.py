"""Checked predictions become one PREDICTIONS table: each model's feature names are united over the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seamark.core.errors import BodyTooLarge
from seamark.core.records import PREDICTIONS, Decoded, FeatureSchema, Refusal
from seamark.wire.tables import as_table
from seamark.wire.values import shown

NAMES_MAX = 1_000  # feature names of one model in one request
MODELS_MAX = 1_000  # in one request
CELLS_MAX = 20_000_000  # rows x names: a request of sparse rows must not unfold into gigabytes

_NUMERIC, _CATEGORICAL = 0, 1
_KINDS = ("a number", "a string or boolean")


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


def build(predictions: Sequence[Prediction], refusals: Sequence[Refusal], received_us: int) -> Decoded:
    """Return the predictions as a table in the order they came, with the schemas their rows name.

    A name that is a number in some records and a string in others keeps the kind most of them give it (of the
    first on a tie); the others are refused. A name that is null throughout counts as numeric.
    """
    groups: dict[str, list[Prediction]] = {}
    refused = list(refusals)
    for prediction in predictions:
        if prediction.model not in groups and len(groups) >= MODELS_MAX:
            refused.append(Refusal(prediction.index, f"the request names more than {MODELS_MAX:,} models"))
            continue
        groups.setdefault(prediction.model, []).append(prediction)
    rows: list[tuple[int, tuple[Any, ...]]] = []
    schemas: list[tuple[str, FeatureSchema]] = []
    cells = 0
    for model, members in groups.items():
        kept, schema = _unite(members, refused)
        if not kept:
            continue
        cells += len(kept) * (len(schema.numeric) + len(schema.categorical))
        if not cells_fit(cells):
            raise BodyTooLarge(f"the request unfolds into more than {CELLS_MAX:,} feature values; send smaller batches")
        schemas.append((model, schema))
        rows += [(prediction.index, _row(prediction, schema, received_us)) for prediction in kept]
    rows.sort(key=lambda row: row[0])
    table = as_table([row for _, row in rows], PREDICTIONS)
    return Decoded(
        tables={"predictions": table} if rows else {},
        refusals=tuple(sorted(refused, key=lambda refusal: refusal.index)),
        ids=tuple(row[2] for _, row in rows),
        schemas=tuple(schemas),
    )


def cells_fit(cells: int) -> bool:
    """Whether a request may unfold into so many feature values."""
    return cells <= CELLS_MAX


def _unite(members: Sequence[Prediction], refused: list[Refusal]) -> tuple[list[Prediction], FeatureSchema]:
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
    kept = [member for member in room if _agrees(member, kinds, refused)]
    used = {name for member in kept for name in (*member.numeric, *member.categorical, *member.unknown)}
    return kept, FeatureSchema(
        numeric=tuple(sorted(name for name in used if kinds[name] == _NUMERIC)),
        categorical=tuple(sorted(name for name in used if kinds[name] == _CATEGORICAL)),
    )


def _kind(count: Sequence[int], first: int) -> int:
    return first if count[0] == count[1] else int(count[1] > count[0])


def _agrees(member: Prediction, kinds: dict[str, int], refused: list[Refusal]) -> bool:
    given: tuple[tuple[int, dict[str, Any]], ...] = ((_NUMERIC, member.numeric), (_CATEGORICAL, member.categorical))
    for kind, values in given:
        for name, value in values.items():
            if kinds[name] != kind:
                told = f"{shown(value)} is {_KINDS[kind]}, but most records of this request have {_KINDS[1 - kind]}"
                refused.append(Refusal(member.index, f"features.{name}: {told}; send one kind"))
                return False
    return True


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
