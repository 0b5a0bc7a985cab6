"""The traces of one data file -> a small file beside it that says which ones are not in there.

A trace is looked for by its id alone in every file of the lake. Parquet's own filters lie in every row group, to be
read one by one; here a file of a million spans is passed over by a binary search of some twenty steps in the 2 % of its
size that is kept sorted beside it. It holds the 32-bit hashes of the file's trace keys, each once: one file in ten
thousand is opened in vain.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

SUFFIX = ".traces"  # after the data file's whole name
_MAGIC = b"SMTRACE1"
_HEAD_BYTES = 16  # the magic word and the number of hashes
_BLOCK = 1024  # hashes read at once
_GAMMA = np.uint64(0x9E3779B97F4A7C15)

Hashes = npt.NDArray[np.uint32]


def index_of(data_file: str | Path) -> Path:
    """Return where the index of a data file lies, or would."""
    return Path(f"{data_file}{SUFFIX}")


def write_index(data_file: Path, keys: Iterable[npt.NDArray[np.int64]]) -> None:
    """Write the index of a data file with these trace keys, synced; OSError leaves none behind."""
    found = np.unique(np.concatenate([np.unique(_hashes(part)) for part in keys] or [np.empty(0, np.uint32)]))
    path = index_of(data_file)
    try:
        with path.open("xb") as file:
            file.write(_MAGIC + len(found).to_bytes(8, "little"))
            file.write(found.astype("<u4").tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        remove_index(data_file)
        raise


def may_hold(data_file: str, key: int) -> bool:
    """Whether the file may hold spans of the trace: always, where it has no index or one that is not whole."""
    wanted = int(_hashes(np.array([key], dtype=np.int64))[0])
    try:
        descriptor = os.open(index_of(data_file), os.O_RDONLY)
    except OSError:
        return True
    try:
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        count = int.from_bytes(head[8:], "little")
        if head[:8] != _MAGIC or os.fstat(descriptor).st_size != _HEAD_BYTES + 4 * count:
            return True
        return _found(descriptor, count, wanted)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _found(descriptor: int, count: int, wanted: int) -> bool:
    """Search by halves, and the last block at once."""
    low, high = 0, count
    while high - low > _BLOCK:
        middle = (low + high) // 2
        if int.from_bytes(os.pread(descriptor, 4, _HEAD_BYTES + 4 * middle), "little") <= wanted:
            low = middle
        else:
            high = middle
    block = os.pread(descriptor, 4 * (high - low), _HEAD_BYTES + 4 * low)
    return bool((np.frombuffer(block, dtype="<u4") == wanted).any())


def remove_index(data_file: str | Path) -> None:
    """Remove it, if there is one."""
    with suppress(OSError):
        index_of(data_file).unlink(missing_ok=True)


def remove_data_file(data_file: str | Path) -> None:
    """Remove a data file and its index, as far as they are there."""
    with suppress(OSError):
        Path(data_file).unlink(missing_ok=True)
    remove_index(data_file)


def _hashes(keys: npt.NDArray[np.int64]) -> Hashes:
    """Return 32 bits of each key that depend on all of it: ids may count up."""
    words = keys.astype(np.uint64) * _GAMMA
    words = (words ^ (words >> np.uint64(32))) * _GAMMA
    hashes: Hashes = (words >> np.uint64(32)).astype(np.uint32)
    return hashes
