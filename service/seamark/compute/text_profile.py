"""A column of texts, as people write them, becomes its profile: how long they are, and the words of a bounded sample.

A word is a run of letters and digits, in lower case; where a script is written without spaces (Han, Kana, Thai) each
letter is one. Only the first 2,000 characters of a text are read for words: a text may have a megabyte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from seamark.compute.columns import IntArray, is_null
from seamark.compute.row_order import evenly

ROWS_MAX = 10_000
CHARACTERS_MAX = 2_000  # of one text that are read for words
LENGTH_MAX = 4_000  # longer texts are as long
_SPACELESS = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_NO_WORD = r"[^\p{L}\p{M}\p{N}]+"

VALUES_MIN = 200  # from which a column can be known as text
LOOKED_AT = 1_000


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts: the lengths of all in characters (at most 4,000), and the words of at most 10,000, evenly taken.

    `counts` says how often each of `words` stands in each text of the sample.
    """

    lengths: IntArray
    words: pa.StringArray
    counts: csr_array
    nulls: int = 0

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        held = (self.lengths, self.words, self.counts.data, self.counts.indices, self.counts.indptr)
        return sum(int(part.nbytes) for part in held)


def texts(column: npt.NDArray[Any] | pa.Array | pa.ChunkedArray) -> Texts:
    """Return the profile of a column of texts: an Arrow column, or objects in which None and NaN are nulls."""
    found = _strings(column)
    known = found.drop_null()
    lengths = np.minimum(np.asarray(pc.utf8_length(known), dtype=np.int64), LENGTH_MAX)
    words, counts = _words(known.take(pa.array(evenly(np.arange(len(known)), ROWS_MAX))).sort())
    return Texts(lengths, words, counts, len(found) - len(known))


def is_text(levels: pa.StringArray, counts: IntArray) -> bool:
    """Whether a categorical column, given its levels and how often each occurs, is text.

    It is when it has at least 200 values, more than half of them are different, and more than half hold a space between
    words (looked for in 1,000 of them).
    """
    rows = int(counts.sum())
    if rows < VALUES_MIN or 2 * len(levels) <= rows:
        return False
    looked_at = levels.take(pa.array(evenly(np.arange(len(levels)), LOOKED_AT)))
    spaced = pc.match_substring_regex(pc.utf8_slice_codeunits(looked_at, 0, CHARACTERS_MAX), r"\S\s+\S")
    return 2 * int(pc.sum(spaced).as_py()) > len(looked_at)


def _strings(column: npt.NDArray[Any] | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, np.ndarray):
        values = [
            None if is_null(value) else str(value).encode("utf-8", "backslashreplace") for value in column.tolist()
        ]
        return pa.array(values, pa.binary()).cast(pa.string())
    plain = column.cast(pa.string())
    return plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain


def _words(known: pa.StringArray) -> tuple[pa.StringArray, csr_array]:
    """Return the words of these texts, and how often each stands in each."""
    start = pc.utf8_lower(pc.utf8_slice_codeunits(known, 0, CHARACTERS_MAX))
    spaced = pc.replace_substring_regex(start, _SPACELESS, r" \1 ")
    lists = pc.split_pattern_regex(spaced, _NO_WORD)
    owners = np.repeat(np.arange(len(known)), np.asarray(lists.value_lengths()))
    found = lists.flatten()
    there = np.asarray(pc.greater(pc.binary_length(found), 0)) if len(found) else np.empty(0, dtype=bool)
    encoded = found.filter(pa.array(there)).dictionary_encode()
    codes = np.asarray(encoded.indices, dtype=np.int64)
    shape = (len(known), len(encoded.dictionary))
    counts = csr_array((np.ones(len(codes), dtype=np.float32), (owners[there], codes)), shape=shape)
    counts.sum_duplicates()
    return encoded.dictionary.cast(pa.string()), counts
