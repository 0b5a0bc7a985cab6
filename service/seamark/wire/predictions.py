"""Prediction records as people send them become rows of PREDICTIONS, with a reason for each that cannot be taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from seamark.core.feature_types import TypesOf
from seamark.core.records import Decoded, Refusal
from seamark.wire.documents import ARROW, JSON, NDJSON, read_records
from seamark.wire.feature_columns import Unusual
from seamark.wire.prediction_arrow import decode_arrow_columns
from seamark.wire.prediction_columns import COLUMNS_FROM_BYTES
from seamark.wire.prediction_json import decode_json_columns, decode_line_columns
from seamark.wire.prediction_record import read_prediction
from seamark.wire.prediction_rows import Prediction, build
from seamark.wire.values import RowRefused, micros

# The fast way for each media type: columns instead of rows.
_IN_COLUMNS: dict[str, Callable[[bytes, int, Callable[[], str]], Decoded]] = {
    "": decode_json_columns,
    JSON: decode_json_columns,
    ARROW: decode_arrow_columns,
    **dict.fromkeys(NDJSON, decode_line_columns),
}


def decode_predictions(
    body: bytes,
    media_type: str,
    *,
    received_at: datetime,
    new_id: Callable[[], str],
    types: TypesOf | None = None,
) -> Decoded:
    """Return the records of a JSON array (or one object), NDJSON or Arrow IPC stream as a PREDICTIONS table.

    A record that cannot be taken is a Refusal with its place and its reason. InputRefused: the body cannot be
    read at all. WrongMediaType, BodyTooLarge: as they say. `new_id` makes ids for records without one; `types` decide
    what a feature is that comes as a number and as a word (Decoded.mixed).
    """
    received_us = micros(received_at)
    if types is None and media_type in _IN_COLUMNS and len(body) >= COLUMNS_FROM_BYTES:
        try:
            return _IN_COLUMNS[media_type](body, received_us, new_id)
        except Unusual:
            pass
    return decode_row_by_row(body, media_type, received_us, new_id, types)


def decode_row_by_row(
    body: bytes, media_type: str, received_us: int, new_id: Callable[[], str], types: TypesOf | None = None
) -> Decoded:
    """Return the same as decode_predictions(), slowly: what every faster way is held against."""
    taken: list[Prediction] = []
    refusals: list[Refusal] = []
    for index, record in enumerate(read_records(body, media_type)):
        try:
            taken.append(read_prediction(record, index, received_us, new_id))
        except RowRefused as refused:
            refusals.append(Refusal(index, str(refused)))
    return build(taken, refusals, received_us, types)
