"""The events of many spans as flat columns become each span's events as JSON text.

wire/spans.py writes the same text for one span; spans that have anything rare among their events are named odd.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.wire.attribute_columns import AttributeColumns, Ints, joined_lists, texts_of
from seamark.wire.attributes import TEXT_BYTES_MAX, to_json
from seamark.wire.spans import EVENTS_MAX
from seamark.wire.values import NANOS_MAX, clean_name


@dataclass(frozen=True)
class EventColumns:
    """Events side by side: those of span n are offsets[n]:offsets[n + 1]."""

    offsets: Ints
    time_ns: npt.NDArray[np.uint64]
    names: pa.Array
    attributes: AttributeColumns  # a row of it is an event

    def texts(self) -> tuple[pa.Array, Ints]:
        """Return (each span's events as a JSON array, null for none; the spans that must be read one by one)."""
        spans = len(self.offsets) - 1
        sizes = np.diff(self.offsets)
        if not len(self.time_ns):
            return pa.nulls(spans, pa.string()), np.zeros(0, dtype=np.int64)
        events = pc.binary_join_element_wise(
            self._named(), self._at(), pc.coalesce(texts_of(self.attributes), "{}"), "}", ""
        )
        texts = pc.binary_join_element_wise("[", joined_lists(self.offsets, events), "]", "")
        owner = np.repeat(np.arange(spans), sizes)
        long = np.asarray(pc.greater(pc.binary_length(texts), TEXT_BYTES_MAX))
        odd = np.concatenate([np.flatnonzero((sizes > EVENTS_MAX) | long), owner[self.attributes.odd_rows()]])
        return pc.if_else(pa.array(sizes == 0), None, texts), np.unique(odd)

    def _named(self) -> pa.Array:
        encoded = self.names.dictionary_encode()
        words = [f'{{"name":{to_json(clean_name(name))},"at":' for name in encoded.dictionary.to_pylist()]
        return pa.array(words, pa.string()).take(encoded.indices)

    def _at(self) -> pa.Array:
        """Return each instant and the word after it; null where there is none."""
        known = (self.time_ns > 0) & (self.time_ns <= NANOS_MAX)
        micros = np.where(known, self.time_ns // 1000, 0).astype("datetime64[us]")
        texts = pc.binary_join_element_wise('"', pa.array(np.datetime_as_string(micros)), '+00:00","attributes":', "")
        return pc.if_else(pa.array(known), texts, 'null,"attributes":')
