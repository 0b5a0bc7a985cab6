"""An OTLP logs export of prediction events becomes columns without a Python object per value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from seamark.core.errors import InputRefused
from seamark.core.records import Decoded
from seamark.wire.attributes import (
    ATTRIBUTES_MAX,
    MODEL,
    SYNTHETIC,
    USER_AGENTS,
    VALUES_MAX,
    VERSION,
    Source,
    is_synthetic,
    read_source,
    resource_bytes_max,
)
from seamark.wire.documents import parse_json
from seamark.wire.event_names import ATTRIBUTE_OF, PREDICTION
from seamark.wire.feature_columns import (
    FeatureDicts,
    FeaturePairs,
    Features,
    Mask,
    NoFeatures,
    Places,
    Unusual,
    as_mask,
)
from seamark.wire.log_messages import KINDS, read_log_messages
from seamark.wire.name_columns import read_each, trace_ids
from seamark.wire.otlp_protobuf import ProtobufReader
from seamark.wire.prediction_columns import Columns, Judge, build_columns
from seamark.wire.prediction_record import read_scores, read_segment
from seamark.wire.values import NANOS_MAX, ROWS_MAX, clean_name, read_trace_id

_NONE, _STRING, _BOOL, _INT, _DOUBLE, _MAP = (
    0,
    *(KINDS.index(f"{kind}_value") + 1 for kind in ("string", "bool", "int", "double", "kvlist")),
)
_NUMBERS = (_INT, _DOUBLE)
_FEATURE_TEXT = msgspec.json.Decoder(dict[str, float | str | bool | list[float] | None] | None)


def decode_event_columns(body: bytes, judge: Judge, received_us: int, new_id: Callable[[], str]) -> Decoded:
    """Return the prediction events of an export; `judge` tells of every other record why it is refused.

    Unusual: the export must be read record by record, or cannot be read at all.
    """
    try:
        resources = read_log_messages(body)
    except ValueError:
        raise Unusual from None
    records, owners = _records(resources)
    if not len(records) or not pc.any(pc.equal(records.field("event_name"), PREDICTION)).as_py():
        raise Unusual
    sources = _sources(resources, owners)
    return build_columns(_columns(_Attributes(records), records, sources, owners), judge, (), received_us, new_id)


def _records(resources: pa.StructArray) -> tuple[pa.StructArray, Places]:
    """Return all log records, and which resource each belongs to."""
    scopes, of_scope = _unfolded(resources.field("scope_logs"))
    records, of_record = _unfolded(scopes.field("log_records"))
    if max(len(resources), len(scopes), len(records)) > ROWS_MAX:
        raise Unusual
    return records, of_scope[of_record]


def _unfolded(lists: pa.ListArray) -> tuple[pa.Array, Places]:
    """Return the values of all lists, and the list each is of."""
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    return lists.flatten(), np.repeat(np.arange(len(lists)), lengths)


def _sources(resources: pa.StructArray, owners: Places) -> list[Source | None]:
    """Return who sent it by resource, None where a resource has no records."""
    reader, bytes_max = ProtobufReader(), resource_bytes_max(len(owners))
    raw = resources.field("resource")
    sources: list[Source | None] = [None] * len(resources)
    for place in np.unique(owners).tolist():
        try:
            resource = Resource.FromString(raw[place].as_py())
        except (DecodeError, ValueError):
            raise Unusual from None
        sources[place] = read_source(reader.attributes(resource.attributes), bytes_max)
    return sources


class _Values:
    """Values of OTLP attributes side by side: a column per kind, of which each value has at most one."""

    def __init__(self, values: pa.StructArray) -> None:
        self._columns = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
        self.kinds = np.zeros(len(values), np.int8)
        told = 0
        for number, name in enumerate(KINDS, start=1):
            column = self._columns[name]
            if column.null_count < len(column):
                told += len(column) - column.null_count
                self.kinds[as_mask(column.is_valid())] = number
        if told > np.count_nonzero(self.kinds):  # written twice: the last counts, and here its place is lost
            raise Unusual

    def column(self, kind: int) -> pa.Array:
        return self._columns[KINDS[kind - 1]]

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return numbers as floats, NaN where a value is none."""
        numbers: npt.NDArray[np.float64] = self.column(_DOUBLE).to_numpy(zero_copy_only=False)
        whole = self.kinds == _INT
        if whole.any():
            numbers = numbers.copy()
            numbers[whole] = self.column(_INT).drop_null().to_numpy()
        return numbers

    def words(self) -> pa.Array:
        """Return strings, and booleans as the words true and false; null where a value is neither."""
        if not (self.kinds == _BOOL).any():
            return self.column(_STRING)
        return pc.coalesce(self.column(_STRING), self.column(_BOOL).cast(pa.string()))

    def python(self, places: Places) -> list[Any]:
        """Return these values as Python has them; one of another kind is something that nobody takes."""
        out: list[Any] = [[] if kind else None for kind in self.kinds[places].tolist()]
        for kind in (_STRING, _BOOL, _INT, _DOUBLE):
            at = np.flatnonzero(self.kinds[places] == kind)
            for place, value in zip(at.tolist(), self.column(kind).take(pa.array(places[at])).to_pylist(), strict=True):
                out[place] = value
        return out


class _Attributes:
    """The attributes of log records."""

    def __init__(self, records: pa.StructArray) -> None:
        self.rows = len(records)
        pairs, self.owners = _unfolded(records.field("attributes"))
        self.values = _Values(pairs.field("value"))
        cells, self.cell_owners = _unfolded(self.values.column(_MAP).flatten()[0])  # entries of the attributes' maps
        self.cell_keys, self.cells = cells.field("key"), _Values(cells.field("value"))
        if len(pairs) + len(cells) > VALUES_MAX:
            raise Unusual
        keys = pairs.field("key").dictionary_encode()
        self._codes, self._names = keys.indices.to_numpy(), keys.dictionary.to_pylist()
        self.odd = np.bincount(self.owners, minlength=self.rows) > ATTRIBUTES_MAX

    def named(self, name: str) -> tuple[Places, npt.NDArray[np.int8]] | None:
        """Return the place of each record's attribute of a name and its kind; None where no record has it."""
        if name not in self._names:
            return None
        entries = np.flatnonzero(self._codes == self._names.index(name))
        places = np.full(self.rows, -1)
        places[self.owners[entries]] = entries
        return places, np.where(places >= 0, self.values.kinds[places], np.int8(_NONE))

    def taken(self, name: str, kinds: Sequence[int]) -> tuple[Places, npt.NDArray[np.int8]] | None:
        """Return the same; a record whose attribute is of none of these kinds is odd."""
        found = self.named(name)
        if found is not None:
            self.odd |= ~np.isin(found[1], (_NONE, *kinds))
        return found

    def texts(self, places: Places, kinds: npt.NDArray[np.int8]) -> pa.Array:
        """Return the strings at these places, null where there is none."""
        return self.values.column(_STRING).take(pa.array(places, mask=kinds != _STRING))


def _columns(
    attributes: _Attributes, records: pa.StructArray, sources: Sequence[Source | None], owners: Places
) -> Columns:
    attributes.odd |= ~as_mask(pc.equal(records.field("event_name"), PREDICTION))
    fields: dict[str, pa.Array] = {}
    fields["at"] = _instants(records, attributes.odd)
    fields["trace_id"] = _trace_ids(records.field("trace_id"), attributes.odd)
    fields |= _who(attributes, sources, owners)
    if found := attributes.taken(ATTRIBUTE_OF["prediction_id"], (_STRING, _INT)):
        whole = attributes.values.column(_INT).take(pa.array(found[0], mask=found[1] != _INT)).cast(pa.string())
        fields["prediction_id"] = pc.coalesce(attributes.texts(*found), whole)
    if found := attributes.taken(ATTRIBUTE_OF["prediction"], (_STRING, _BOOL, *_NUMBERS)):
        fields["prediction_text"] = attributes.texts(*found)
        fields["prediction_number"] = _numbers(attributes, *found)
    if found := attributes.taken(ATTRIBUTE_OF["latency_ms"], _NUMBERS):
        fields["latency_ms"] = _numbers(attributes, *found)
    for name, read in (("segment", read_segment), ("scores", read_scores)):
        if found := attributes.taken(ATTRIBUTE_OF[name], (_STRING, _MAP)):
            fields[name], refused = read_each(_objects(attributes, *found), read, pa.string())
            attributes.odd[refused] = True
    features = _features(attributes)
    return Columns(attributes.rows, fields, features, attributes.odd)


def _who(attributes: _Attributes, sources: Sequence[Source | None], owners: Places) -> dict[str, pa.Array]:
    """Return model, version and whether a load test sent it: a record's own attributes win over its resource's."""
    of_row = pa.array(owners)
    known = [source or Source("", "", "", None, False, None) for source in sources]
    fields = {
        "model": pa.array([source.model for source in known]).take(of_row),
        "version": pa.array([source.version for source in known]).take(of_row),
        "synthetic": pa.array([source.synthetic for source in known]).take(of_row),
    }
    for field, name in (("model", MODEL), ("version", VERSION)):
        if found := attributes.taken(name, (_STRING,)):
            own = attributes.texts(*found).dictionary_encode()
            clean = pa.array([clean_name(text) or None for text in own.dictionary.to_pylist()], pa.string())
            fields[field] = pc.coalesce(clean.take(own.indices), fields[field])
    for name in (SYNTHETIC, *USER_AGENTS):
        if found := attributes.taken(name, (_STRING,)):
            own = attributes.texts(*found).dictionary_encode()
            marks = pa.array([is_synthetic({name: text}) for text in own.dictionary.to_pylist()], pa.bool_())
            fields["synthetic"] = pc.or_(fields["synthetic"], marks.take(own.indices).fill_null(False))
    return fields


def _numbers(attributes: _Attributes, places: Places, kinds: npt.NDArray[np.int8]) -> pa.Array:
    """Return numbers and booleans at these places as float64, null where there is none."""
    numbers = attributes.values.numbers()[places]
    truths = kinds == _BOOL
    if truths.any():
        numbers[truths] = as_mask(attributes.values.column(_BOOL).take(pa.array(places[truths])))
    return pa.array(numbers, mask=~np.isin(kinds, (_BOOL, *_NUMBERS)))


def _features(attributes: _Attributes) -> Features:
    found = attributes.taken(ATTRIBUTE_OF["features"], (_STRING, _MAP))
    if found is None:
        return NoFeatures(attributes.rows)
    places, kinds = found
    if not (kinds == _MAP).any():
        texts = attributes.texts(places, kinds).to_pylist()
        return FeatureDicts([None if text is None else _feature_dict(text) for text in texts])
    if (kinds == _STRING).any():
        raise Unusual
    owners, cells = attributes.owners[attributes.cell_owners], attributes.cells
    numeric = np.isin(cells.kinds, _NUMBERS)
    wanted = places[owners] == attributes.cell_owners  # not: entries of scores, of segments
    attributes.odd[owners[wanted & ~np.isin(cells.kinds, (_NONE, _STRING, _BOOL, *_NUMBERS))]] = True
    keys, numbers, words = attributes.cell_keys, cells.numbers(), cells.words()
    if not wanted.all():
        chosen = pa.array(wanted)
        owners, numbers, numeric = owners[wanted], numbers[wanted], numeric[wanted]
        keys, words = keys.filter(chosen), words.filter(chosen)
    return FeaturePairs(attributes.rows, owners, keys, numbers, numeric, words)


def _feature_dict(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = _FEATURE_TEXT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Unusual from None
    return found


def _objects(attributes: _Attributes, places: Places, kinds: npt.NDArray[np.int8]) -> list[Any]:
    """Return attributes that hold a map, or the text of a JSON object, as Python has them; [] for no such thing."""
    maps = np.flatnonzero(kinds == _MAP)
    row_of = np.full(len(attributes.values.kinds), -1)
    row_of[places[maps]] = maps
    cells = np.flatnonzero(row_of[attributes.cell_owners] >= 0)
    objects: list[Any] = [None] * attributes.rows
    for row in maps.tolist():
        objects[row] = {}
    rows = row_of[attributes.cell_owners[cells]].tolist()
    keys = attributes.cell_keys.take(pa.array(cells)).to_pylist()
    for row, key, value in zip(rows, keys, attributes.cells.python(cells), strict=True):
        objects[row][key] = value
    for row in np.flatnonzero(kinds == _STRING).tolist():
        try:
            objects[row] = parse_json(attributes.values.column(_STRING)[int(places[row])].as_py())
        except InputRefused:
            objects[row] = []
    return objects


def _instants(records: pa.StructArray, odd: Mask) -> pa.Array:
    """Return microseconds since 1970: the record's own time, else when it was observed, else null."""
    own, observed = (records.field(name).to_numpy() for name in ("time_unix_nano", "observed_time_unix_nano"))
    nanos = np.where(own > 0, own, observed)
    odd |= nanos > NANOS_MAX
    return pa.array((nanos // 1_000).astype(np.int64), mask=nanos == 0)


def _trace_ids(raw: pa.Array, odd: Mask) -> pa.Array:
    lengths = pc.binary_length(raw).to_numpy()
    if (lengths == 16).all():
        return trace_ids(raw.cast(pa.binary(16)))
    ids, refused = read_each(raw.to_pylist(), _trace_id, pa.binary())
    odd[refused] = True
    return ids


def _trace_id(raw: bytes) -> bytes | None:
    return read_trace_id(raw, "trace_id")
