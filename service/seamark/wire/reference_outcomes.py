"""Columns of a reference file that tell what the model answered and what was true become OUTCOMES columns.

`prediction`, `label` (or `target`) and `scores` are those of a prediction record and of a label; a table that cannot
hold objects names a column for each class instead: `scores.yes`, `scores.no`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.core.records import OUTCOMES, REFERENCE_ROWS
from seamark.wire.prediction_record import SCORES_MAX, read_scores
from seamark.wire.values import RowRefused, shown

PREDICTION, LABEL, TARGET, SCORES = "prediction", "label", "target", "scores"
NAMES = frozenset({PREDICTION, LABEL, TARGET, SCORES})
CLASS_PREFIX = "scores."
SCORES_CELLS_MAX = 20_000_000

_BLOCK_ROWS = 20_000  # turned into Python's objects at a time
_SCORES_TEXT = msgspec.json.Decoder(dict[str, float | None] | None)

# Makes one flat column of a file float64 or string: rows.py's, which knows every type a file may have.
Convert = Callable[[str, pa.ChunkedArray], pa.Array]


def is_outcome(name: str) -> bool:
    """Whether a column of this name is no feature but tells an outcome."""
    return name in NAMES or (name.startswith(CLASS_PREFIX) and len(name) > len(CLASS_PREFIX))


def read_outcomes(table: pa.Table, convert: Convert) -> pa.Table:
    """Return those of OUTCOMES that the table's columns tell, a row for each of its rows.

    True and false are 1 and 0, as in a prediction record. InputRefused says which column cannot be taken, and why.
    """
    if LABEL in table.column_names and TARGET in table.column_names:
        raise InputRefused("the columns label and target both tell what was true; send one of them")
    found: dict[str, pa.Array] = {}
    for name, field in ((PREDICTION, PREDICTION), (LABEL, LABEL), (TARGET, LABEL)):
        if name in table.column_names:
            values = _flat(name, table.column(name), convert)
            found[f"{field}_text" if pa.types.is_string(values.type) else f"{field}_number"] = values
    scores = _scores(table, convert)
    if scores is not None:
        found["scores"] = scores
    kinds = {name: REFERENCE_ROWS.field(name).type for name in OUTCOMES if name in found}
    return pa.table({name: found[name].cast(kind) for name, kind in kinds.items()})


def from_values(name: str, values: Sequence[Any]) -> pa.Array | None:
    """Return JSON values of such a column as Arrow; None where they are read like those of a feature."""
    kinds = {type(value) for value in values} - {type(None)}
    if name == SCORES and kinds == {dict}:
        return _each(values, read_scores, name, 0)
    if kinds and kinds <= {bool, int, float} and bool in kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return None


def _flat(name: str, column: pa.ChunkedArray, convert: Convert) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.bool_()).cast(pa.float64())
    return convert(name, column)


def _scores(table: pa.Table, convert: Convert) -> pa.Array | None:
    """Return scores as JSON texts, from one column of objects or from a column of numbers for each class."""
    classes = [name for name in table.column_names if is_outcome(name) and name not in NAMES]
    if len(classes) > SCORES_MAX:
        raise InputRefused(f"the file has scores of {len(classes):,} classes; at most {SCORES_MAX:,} are taken")
    if SCORES in table.column_names:
        if classes:
            raise InputRefused(f"the columns {SCORES} and {shown(classes[0])} both tell scores; send one kind")
        return _score_objects(table.column(SCORES), convert)
    if not classes:
        return None
    columns = {name.removeprefix(CLASS_PREFIX): _flat(name, table.column(name), convert) for name in classes}
    for name, values in columns.items():
        if not pa.types.is_float64(values.type):
            raise InputRefused(f"column {shown(CLASS_PREFIX + name)} holds words; a score is a number")
    return _blocks(pa.table(columns), lambda block, first: _each(block.to_pylist(), _known_scores, "scores", first))


def _score_objects(column: pa.ChunkedArray, convert: Convert) -> pa.Array:
    kind = column.type
    cells = len(column) * (kind.num_fields if pa.types.is_struct(kind) else 1)
    if pa.types.is_map(kind):
        cells = sum(len(chunk.items) for chunk in column.chunks)
    if cells > SCORES_CELLS_MAX:
        raise BodyTooLarge(f"column {SCORES} holds more than {SCORES_CELLS_MAX:,} values: send a sample")
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_struct(kind):
        return _blocks(column, lambda block, first: _each(block.to_pylist(), read_scores, SCORES, first))
    if pa.types.is_map(kind):
        return _blocks(column, lambda block, first: _each(block.to_pylist(), _pairs, SCORES, first))
    flat = convert(SCORES, column)
    if not pa.types.is_string(flat.type):
        told = 'a struct, a map, or JSON text like {"yes": 0.9, "no": 0.1}; a column of one class is scores.yes'
        raise InputRefused(f"column {SCORES} is of type {str(kind)[:100]}; send {told}")
    return _blocks(flat, lambda block, first: _each(block.to_pylist(), _score_text, SCORES, first))


def _blocks(column: Any, read: Callable[[Any, int], pa.Array]) -> pa.Array:
    """Return what `read` makes of the rows, some thousand at a time: objects take many times a column's memory."""
    parts = [read(column.slice(first, _BLOCK_ROWS), first) for first in range(0, max(len(column), 1), _BLOCK_ROWS)]
    return pa.concat_arrays(parts)


def _each(values: Sequence[Any], read: Callable[[Any], str | None], name: str, first: int) -> pa.Array:
    texts: list[str | None] = []
    for row, value in enumerate(values, start=first):
        try:
            texts.append(None if value is None else read(value))
        except RowRefused as refused:
            raise InputRefused(f"column {shown(name)}, row {row}: {refused}") from None
    return pa.array(texts, pa.string())


def _known_scores(scores: Mapping[str, float | None]) -> str | None:
    """A row that tells no score at all has none."""
    known = {name: score for name, score in scores.items() if score is not None}
    return read_scores(known) if known else None


def _pairs(pairs: Sequence[tuple[Any, Any]]) -> str | None:
    return read_scores({str(name): score for name, score in pairs})


def _score_text(text: str) -> str | None:
    try:
        return read_scores(_SCORES_TEXT.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RowRefused(f"{shown(text)} is no JSON object of classes and probabilities") from None
