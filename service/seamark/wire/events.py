"""OpenTelemetry log records that are prediction or label events become the same rows as those sent over REST."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from seamark.core.errors import InputRefused
from seamark.core.feature_types import TypesOf
from seamark.core.records import LABELS, Decoded, Refusal
from seamark.wire.attributes import ATTRIBUTES_MAX, CUT, Attributes, Source, is_synthetic, model_of
from seamark.wire.documents import parse_json
from seamark.wire.event_names import ATTRIBUTE_OF, ID, LABEL, LABEL_VALUE, PREDICTION
from seamark.wire.labels import label_row
from seamark.wire.prediction_record import read_prediction
from seamark.wire.prediction_rows import Prediction, build
from seamark.wire.spans import Reader
from seamark.wire.tables import Row, as_table
from seamark.wire.values import EPOCH, NANOS_MAX, RowRefused, shown

ONLY_EVENTS = "only seamark.prediction and seamark.label events are stored"
_OBJECTS = ("features", "scores", "segment")


class EventRows:
    """Collects the rows of one request; decoded() unites them."""

    def __init__(self, received_us: int, new_id: Callable[[], str], types: TypesOf | None = None) -> None:
        self._received_us = received_us
        self._types = types
        self._new_id = new_id
        self._predictions: list[Prediction] = []
        self._labels: list[Row] = []
        self._refusals: list[Refusal] = []

    def add(self, reader: Reader, record: Any, source: Source, index: int) -> None:
        """Take one log record, or note why it was not taken."""
        try:
            attributes = reader.attributes(record.attributes)
            event = record.event_name or attributes.get("event.name")
            if event == PREDICTION:
                found = _prediction(reader, record, attributes, source)
                self._predictions.append(read_prediction(found, index, self._received_us, self._new_id))
            elif event == LABEL:
                self._labels.append(label_row(_label(reader, record, attributes, source), self._received_us))
            else:
                raise RowRefused(ONLY_EVENTS)
        except RowRefused as refused:
            self._refusals.append(Refusal(index, str(refused)))

    @property
    def holds_predictions(self) -> bool:
        """Whether a prediction was taken."""
        return bool(self._predictions)

    def decoded(self) -> Decoded:
        """Return everything that was taken, and every refusal in the order of the request."""
        found = build(self._predictions, self._refusals, self._received_us, self._types)
        labels = {"labels": as_table(self._labels, LABELS)} if self._labels else {}
        return replace(found, tables=found.tables | labels)


def _prediction(reader: Reader, record: Any, attributes: Attributes, source: Source) -> Attributes:
    model, version = model_of(attributes, source)
    found = {field: attributes.get(name) for field, name in ATTRIBUTE_OF.items()}
    for field in _OBJECTS:
        found[field] = _object(found[field], ATTRIBUTE_OF[field])
    return found | {
        "model": model,
        "version": version,
        "at": _instant(reader, record),
        "trace_id": reader.identifier(record.trace_id, "trace id"),
        "synthetic": source.synthetic or is_synthetic(attributes),
    }


def _label(reader: Reader, record: Any, attributes: Attributes, source: Source) -> Attributes:
    return {
        "model": model_of(attributes, source)[0],
        "prediction_id": attributes.get(ID),
        "label": attributes.get(LABEL_VALUE),
        "at": _instant(reader, record),
    }


def _object(value: Any, name: str) -> Any:
    """An attribute that holds a map may be sent as one, or as the text of a JSON object."""
    if isinstance(value, dict) and CUT in value:
        raise RowRefused(f"{name}: more than {ATTRIBUTES_MAX:,} names")
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except InputRefused as refused:
        raise RowRefused(f"{name}: {refused.message}") from None


def _instant(reader: Reader, record: Any) -> datetime | None:
    """Return the record's instant, None where it has none: its own time, else when it was observed."""
    for raw, what in ((record.time_unix_nano, "time"), (record.observed_time_unix_nano, "observed time")):
        nanos = reader.integer(raw, what)
        if nanos:
            if not 0 < nanos <= NANOS_MAX:
                raise RowRefused(f"{what} {shown(nanos)} does not lie between 1970 and 2262, in nanoseconds")
            return EPOCH + timedelta(microseconds=nanos // 1000)
    return None
