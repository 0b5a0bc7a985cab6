"""The attributes of many spans as flat columns become a JSON object each, and columns of what single keys say.

wire/attributes.py does the same for one set of attributes; each text made here is, byte for byte, what it would write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from seamark.wire.attributes import ATTRIBUTES_MAX, Value, first_text, to_json

Ints = npt.NDArray[np.int64]

_BITS = 52  # keys whose bits fit into one integer, a thousand times each
_ENCODER = msgspec.json.Encoder()
# What JSON must write otherwise than as it is: quotes, backslashes and control characters.
_ESCAPED = np.zeros(256, dtype=np.bool_)
_ESCAPED[:0x20] = _ESCAPED[ord('"')] = _ESCAPED[ord("\\")] = True
_ESCAPED_PATTERN = '["\\\\\\x00-\\x1f]'


@dataclass
class AttributeColumns:
    """Attributes side by side: those of span n are offsets[n]:offsets[n + 1].

    An attribute has its value in one of the four typed columns (null in the others), or in `others` by its index
    (arrays, maps, bytes: plain Python), or nowhere: then it is null.
    """

    offsets: Ints
    keys: pa.Array  # string
    strings: pa.Array
    integers: pa.Array  # int64
    doubles: pa.Array
    booleans: pa.Array
    others: Sequence[tuple[int, Value]] = ()
    doubtful: Ints | None = None  # attributes that seem to have two values
    codes: Ints = field(init=False)  # of each attribute's key, in `names`
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        encoded = self.keys.dictionary_encode()
        self.codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.names = encoded.dictionary.to_pylist()
        self._code_of = {name: code for code, name in enumerate(self.names)}
        self._row: Ints | None = None
        self._others = dict(self.others)

    @property
    def spans(self) -> int:
        """How many spans there are."""
        return len(self.offsets) - 1

    @property
    def row(self) -> Ints:
        """The span of each attribute."""
        if self._row is None:
            self._row = np.repeat(np.arange(self.spans), np.diff(self.offsets))
        return self._row

    def odd_rows(self) -> Ints:
        """Return the spans whose attributes must be read one by one: too many, or a key twice."""
        sizes = np.diff(self.offsets)
        many = np.flatnonzero(sizes > ATTRIBUTES_MAX)
        if not len(self.codes):
            return many
        if self.doubtful is not None and len(self.doubtful):
            many = np.union1d(many, self.row[self.doubtful])
        if len(self.names) <= _BITS:
            bits = np.left_shift(np.int64(1), self.codes)
            some = np.flatnonzero(sizes > 0)
            starts = self.offsets[:-1][some]
            twice = some[np.bitwise_or.reduceat(bits, starts) != np.add.reduceat(bits, starts)]
        else:
            pairs, counts = np.unique(self.row * len(self.names) + self.codes, return_counts=True)
            twice = np.unique(pairs[counts > 1] // len(self.names))
        return np.union1d(many, twice)

    def texts(self, key: str) -> pa.Array | None:
        """Return for each span what this attribute says, as first_text() does; None where no span has the key."""
        code = self._code_of.get(key)
        if code is None:
            return None
        index = np.flatnonzero(self.codes == code)
        found = self.strings.take(pa.array(index)).dictionary_encode()
        words = [first_text({"": word}, "") or None for word in found.dictionary.to_pylist()]
        said = pa.array(words, pa.string()).take(found.indices)
        if found.null_count:
            plain = [first_text({"": self.value(int(at))}, "") or None for at in index[np.asarray(found.is_null())]]
            said = pc.replace_with_mask(said, found.is_null(), pa.array(plain, pa.string()))
        place = np.full(self.spans, -1, dtype=np.int64)
        place[self.row[index]] = np.arange(len(index))
        return said.take(pa.array(place, mask=place < 0))

    def starting_with(self, key: str, start: str) -> Ints:
        """Return the spans in which this attribute is a text that starts so."""
        code = self._code_of.get(key)
        if code is None:
            return _NONE
        index = np.flatnonzero(self.codes == code)
        found = pc.fill_null(pc.starts_with(self.strings.take(pa.array(index)), start), False)
        rows: Ints = self.row[index[np.asarray(found)]]
        return rows

    def mapped(self, key: str, read: Callable[[Value], int | None]) -> tuple[Ints, Ints]:
        """Return (spans, numbers): what `read` makes of this attribute, for the spans where that is a number.

        `read` is called once for each different string or whole number.
        """
        code = self._code_of.get(key)
        if code is None:
            return _NONE, _NONE
        index = np.flatnonzero(self.codes == code)
        numbers = self.integers.take(pa.array(index))
        if numbers.null_count == 0:
            different, inverse = np.unique(np.asarray(numbers), return_inverse=True)
            values: list[int | None] = [read(value) for value in different.tolist()]
        else:
            inverse = np.arange(len(index))
            values = [read(self.value(int(at))) for at in index]
        known = np.array([value is not None for value in values], dtype=np.bool_)[inverse]
        read_values = np.array([value or 0 for value in values], dtype=np.int64)[inverse]
        return self.row[index[known]], read_values[known]

    def value(self, index: int) -> Value:
        """Return one attribute's value."""
        for column in (self.strings, self.integers, self.doubles, self.booleans):
            if column[index].is_valid:
                return column[index].as_py()
        return self._others.get(index)


_NONE: Ints = np.zeros(0, dtype=np.int64)


def texts_of(attributes: AttributeColumns) -> pa.Array:
    """Return each span's attributes as the text of one JSON object, null for none."""
    if not len(attributes.codes):
        return pa.nulls(attributes.spans, pa.string())
    texts = pc.binary_join_element_wise("{", joined_lists(attributes.offsets, _pairs(attributes)), "}", "")
    return pc.if_else(pa.array(np.diff(attributes.offsets) == 0), None, texts)


def joined_lists(offsets: Ints, texts: pa.Array) -> pa.Array:
    """Return texts[offsets[n]:offsets[n + 1]] with commas between them, for each n."""
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts), ",")


def _pairs(attributes: AttributeColumns) -> pa.Array:
    """Return `"key":value` for each attribute."""
    codes = pa.array(attributes.codes)
    names = [f"{to_json(name)}:" for name in attributes.names]
    bare = pa.array(names, pa.string()).take(codes)
    parts = []
    strings = attributes.strings
    if strings.null_count < len(strings):
        opened = pa.array([f'{name}"' for name in names], pa.string()).take(codes)
        parts.append(pc.binary_join_element_wise(opened, _escaped(strings), '"', ""))
    if attributes.integers.null_count < len(attributes.integers):
        parts.append(pc.binary_join_element_wise(bare, attributes.integers.cast(pa.string()), ""))
    if attributes.doubles.null_count < len(attributes.doubles):
        parts.append(pc.binary_join_element_wise(bare, _doubles(attributes.doubles), ""))
    if attributes.booleans.null_count < len(attributes.booleans):
        parts.append(pc.binary_join_element_wise(bare, attributes.booleans.cast(pa.string()), ""))
    if attributes.others:
        values = dict(attributes.others)
        mask = np.zeros(len(codes), dtype=np.bool_)
        mask[list(values)] = True
        texts = [to_json(values[index]) for index in sorted(values)]
        spread = pc.replace_with_mask(pa.nulls(len(codes), pa.string()), pa.array(mask), pa.array(texts, pa.string()))
        parts.append(pc.binary_join_element_wise(bare, spread, ""))
    pairs = parts[0] if len(parts) == 1 else pc.coalesce(*parts) if parts else pa.nulls(len(codes), pa.string())
    return pc.coalesce(pairs, pc.binary_join_element_wise(bare, "null", "")) if pairs.null_count else pairs


def _escaped(strings: pa.Array) -> pa.Array:
    """Return texts as they stand between JSON's quotes. Most batches hold none that must be changed."""
    data = strings.buffers()[2]
    if data is None or not _ESCAPED[np.frombuffer(data, dtype=np.uint8)].any():
        return strings
    found = pc.fill_null(pc.match_substring_regex(strings, _ESCAPED_PATTERN), False)
    changed = [_ENCODER.encode(text).decode()[1:-1] for text in strings.filter(found).to_pylist()]
    return pc.replace_with_mask(strings, found, pa.array(changed, pa.string()))


def _doubles(numbers: pa.Array) -> pa.Array:
    """Return numbers as JSON writes them: Arrow's own text of a float is another one."""
    values = numbers.drop_null()
    if np.isfinite(np.asarray(values)).all():
        texts = _ENCODER.encode(values.to_pylist()).decode()[1:-1].split(",")
    else:
        texts = [to_json(value) for value in values.to_pylist()]
    index = np.full(len(numbers), -1, dtype=np.int64)
    index[np.asarray(numbers.is_valid())] = np.arange(len(texts))
    return pa.array(texts, pa.string()).take(pa.array(index, mask=index < 0))
