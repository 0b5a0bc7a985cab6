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
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

SUFFIX = ".traces"  # after the data file's whole name
_MAGIC = b"SMTRACE1"
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
    hashes = _read(data_file)
    if hashes is None:
        return True
    wanted = _hashes(np.array([key], dtype=np.int64))[0]
    place = int(np.searchsorted(hashes, wanted))
    return place < len(hashes) and bool(hashes[place] == wanted)


def remove_index(data_file: str | Path) -> None:
    """Remove it, if there is one."""
    _read.cache_clear()  # what is still mapped would keep its disk
    with suppress(OSError):
        index_of(data_file).unlink(missing_ok=True)


@lru_cache(maxsize=4096)
def _read(data_file: str) -> Hashes | None:
    """Return the hashes, read from disk page by page as they are asked for; a data file and its index never change."""
    path = index_of(data_file)
    try:
        raw = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    count = int.from_bytes(raw[8:16].tobytes(), "little") if len(raw) >= 16 else -1
    if raw[:8].tobytes() != _MAGIC or len(raw) != 16 + 4 * count:
        return None
    hashes: Hashes = raw[16:].view("<u4")
    return hashes


def _hashes(keys: npt.NDArray[np.int64]) -> Hashes:
    """Return 32 bits of each key that depend on all of it: ids may count up."""
    words = keys.astype(np.uint64) * _GAMMA
    words = (words ^ (words >> np.uint64(32))) * _GAMMA
    hashes: Hashes = (words >> np.uint64(32)).astype(np.uint32)
    return hashes
