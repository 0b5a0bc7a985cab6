"""Spans on their way into the lake -> those that did not come a moment ago: a sender that saw no answer sends again.

Which spans came lately is kept as 64-bit hashes, the oldest making room for the newest. A hash is kept for KEPT_S up
to RATE_MAX spans a second (but for one in a million), and longer at lower rates: a repeat within that time is not
stored. A repeat has its original's start, so one that is stored all the same began long before it arrived: in which
hours such late spans began is remembered too, and only there must reads tell repeats apart.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

KEPT_S = 65.0
RATE_MAX = 60_000
LATE_S = 60.0  # from a span's start to its arrival, above which it is late
AHEAD_S = KEPT_S - LATE_S  # by which a sender's clock may be ahead
LATE = (
    f"(received_at > start_at + INTERVAL {LATE_S:.0f} SECONDS"
    f" OR start_at > received_at + INTERVAL {AHEAD_S:.0f} SECONDS)"
)
HOURS_MAX = 100_000
_HOUR_US = 3_600_000_000
# A bucket of KEPT_S at RATE_MAX has 4 hashes on average, more than 16 once in a million.
_WAYS = 16
_BUCKETS = 2**20  # 128 MB in all, of which the system gives pages as they are used
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class RecentSpans:
    """The spans that became durable lately. For one thread at a time."""

    def __init__(self, buckets: int = _BUCKETS) -> None:
        """`buckets` is a power of two."""
        self._table = _zeros(buckets, _WAYS)
        self._next: npt.NDArray[np.uint8] = np.zeros(buckets, dtype=np.uint8)  # counts on from 255 at 0
        self._shift = np.uint64(64 - (buckets.bit_length() - 1))
        self._late_hours: set[int] | None = set()  # since 1970; None: more than can be remembered
        self._arrived: deque[tuple[int, int]] = deque()  # (microseconds, spans) of the last KEPT_S

    def may_repeat(self, start: datetime, end: datetime) -> bool:
        """Whether a span that began in [start, end) may be stored more than once."""
        hours = self._late_hours
        if hours is None:
            return True
        first, last = int(start.timestamp() // 3600), int(end.timestamp() // 3600)
        return any(first <= hour <= last for hour in list(hours))

    def note_late(self, spans: pa.Table) -> None:
        """Remember the hours in which late ones of these began; of all of them while more come than can be known."""
        start, received = (np.asarray(spans[name].cast(pa.int64())) for name in ("start_at", "received_at"))
        late = (received - start > LATE_S * 1e6) | (start - received > AHEAD_S * 1e6)
        if self._too_many(int(received.max()), len(received)):
            late[:] = True
        if late.any():
            self.note_hours(np.unique(start[late] // _HOUR_US).tolist())

    def note_doubt(self, spans: pa.Table) -> None:
        """Remember the hours of spans of which it is not known whether they were stored."""
        self.note_hours(np.unique(np.asarray(spans["start_at"].cast(pa.int64())) // _HOUR_US).tolist())

    def _too_many(self, now_us: int, spans: int) -> bool:
        self._arrived.append((now_us, spans))
        while self._arrived[0][0] < now_us - KEPT_S * 1e6:
            self._arrived.popleft()
        return sum(count for _, count in self._arrived) > KEPT_S * RATE_MAX

    def note_hours(self, hours: Iterable[int]) -> None:
        """Remember hours (since 1970) in which late spans began."""
        if self._late_hours is not None:
            self._late_hours = self._late_hours | set(hours)
            if len(self._late_hours) > HOURS_MAX:
                self._late_hours = None

    def first_seen(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Whether each is neither known nor comes earlier in `hashes`."""
        known = (self._table[self._bucket(hashes)] == hashes[:, None]).any(axis=1)
        _, first = np.unique(hashes, return_index=True)
        new = np.zeros(len(hashes), dtype=np.bool_)
        new[first] = True
        result: npt.NDArray[np.bool_] = new & ~known
        return result

    def remember(self, hashes: Hashes) -> None:
        """Keep these; in each bucket the oldest go."""
        bucket = self._bucket(hashes)
        order = np.argsort(bucket, kind="stable")
        bucket = bucket[order]
        starts = np.flatnonzero(np.diff(bucket, prepend=-1))
        sizes = np.diff(np.append(starts, len(bucket)))
        place = np.arange(len(bucket)) - np.repeat(starts, sizes)
        self._table[bucket, (self._next[bucket] + place) % _WAYS] = hashes[order]
        self._next[bucket[starts]] += sizes.astype(np.uint8)

    def _bucket(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        return (hashes >> self._shift).astype(np.int64)


def _zeros(rows: int, columns: int) -> Hashes:
    """Return zeros that take memory page by page.

    NumPy asks for huge pages, of which a few spans in places without order touch each: a service that has received
    one request holds all of the memory, and the first request waits for it.
    """
    memory = mmap.mmap(-1, rows * columns * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel that knows of none
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint64).reshape(rows, columns)


def hashes_of(spans: pa.Table) -> Hashes:
    """Return a hash of each span's ids, model and start, never 0.

    Ids alone would do for what OpenTelemetry makes; some tracers give a call's two sides one id.
    """
    trace, span = _words(spans["trace_id"], 16), _words(spans["span_id"], 8)
    mixed = _mix(_mix(_mix(trace[:, 0]) ^ trace[:, 1]) ^ span[:, 0])
    mixed = _mix(mixed ^ np.asarray(spans["start_at"].cast(pa.int64())).view(np.uint64) ^ _names(spans["model"]))
    return np.asarray(mixed | np.uint64(1), dtype=np.uint64)


def _names(column: pa.ChunkedArray) -> Hashes:
    encoded = column.combine_chunks().dictionary_encode()
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
    hashes: Hashes = np.frombuffer(b"".join(digests), dtype="<u8")[np.asarray(encoded.indices)]
    return hashes


def _mix(words: Hashes) -> Hashes:
    """Return words of which every bit depends on every bit: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).

    Nothing less will do: ids may count up in their last byte, and two spans of one hash would be taken for one.
    """
    with np.errstate(over="ignore"):
        mixed = words + _GAMMA
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        result: Hashes = mixed ^ (mixed >> np.uint64(31))
    return result


def trace_keys(trace_ids: pa.ChunkedArray) -> pa.Array:
    """Return the last 63 bits of each trace id but the lowest, as a number: what a file's filter can be asked for."""
    return pa.array((_words(trace_ids, 16)[:, 1].byteswap() >> np.uint64(1)).astype(np.int64))


def trace_key(trace_id: bytes) -> int:
    """Return the number of trace_keys() for one trace id of 16 bytes."""
    return int.from_bytes(trace_id[8:16], "big") >> 1


def _words(ids: pa.ChunkedArray, size: int) -> npt.NDArray[np.uint64]:
    """Return ids of `size` bytes as rows of 64-bit words; shorter and longer ones are filled up or cut."""
    column = pa.concat_arrays(ids.chunks) if ids.num_chunks != 1 else ids.chunk(0)
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    if (np.diff(ends) == size).all():
        raw = data.slice(int(ends[0]), len(column) * size) if data is not None else b""
        return np.frombuffer(raw, dtype="<u8").reshape(-1, size // 8)
    joined = b"".join(raw[:size].ljust(size, b"\0") for raw in column.to_pylist())
    return np.frombuffer(joined, dtype="<u8").reshape(-1, size // 8)
