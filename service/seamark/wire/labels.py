"""Ground truth as people send it becomes rows of LABELS, with a reason for each that cannot be taken."""

from __future__ import annotations

from datetime import datetime

from seamark.core.records import LABELS, Decoded, Refusal
from seamark.wire.documents import read_records
from seamark.wire.prediction_record import check_fields, read_outcome
from seamark.wire.tables import Row, as_table
from seamark.wire.values import RowRefused, micros, read_instant_us, read_key, read_name

FIELDS = ("model", "prediction_id", "label", "at")
_PREDICTION_ID = LABELS.get_field_index("prediction_id")


def decode_labels(body: bytes, media_type: str, *, received_at: datetime) -> Decoded:
    """Return the labels of a JSON array (or one object), NDJSON or Arrow IPC stream as a LABELS table.

    `ids` are the prediction ids that were labelled. Errors as in decode_predictions().
    """
    received_us = micros(received_at)
    rows: list[Row] = []
    refusals: list[Refusal] = []
    for index, record in enumerate(read_records(body, media_type)):
        try:
            rows.append(label_row(record, received_us))
        except RowRefused as refused:
            refusals.append(Refusal(index, str(refused)))
    tables = {"labels": as_table(rows, LABELS)} if rows else {}
    return Decoded(tables, tuple(refusals), tuple(row[_PREDICTION_ID] for row in rows))


def label_row(record: object, received_us: int) -> Row:
    """Return the label's values in the order of LABELS; RowRefused names the field and what would be right."""
    found = check_fields(record, FIELDS, "a label")
    model = read_name(found.get("model"), "model")
    prediction_id = read_key(found.get("prediction_id"), "prediction_id")
    if "label" not in found:
        raise RowRefused("label: missing; write a number, a string, true or false")
    number, text = read_outcome(found["label"], "label")
    at_us = read_instant_us(found["at"], "at") if "at" in found else received_us
    return (model, prediction_id, number, text, at_us, received_us)
