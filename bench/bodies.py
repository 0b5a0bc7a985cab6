"""A payload and a number -> that many request bodies in files, made beforehand by several processes, none twice."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.payloads import PAYLOADS

LOOSE_BYTES = 2_000_000_000  # of the disk's free space that making bodies must leave


@dataclass(frozen=True)
class Bodies:
    """`count` bodies of one kind in `folder`; body i lies in part i % parts. `raw_bytes` is before compression."""

    kind: str
    folder: Path
    parts: int
    count: int
    raw_bytes: int
    sent_bytes: int
    made_s: float

    @property
    def rows(self) -> int:
        """Rows in all of them."""
        return self.count * PAYLOADS[self.kind].rows

    def sizes(self) -> dict[str, float]:
        """How large a row is, before and after compression."""
        return {"raw bytes per row": self.raw_bytes / self.rows, "sent bytes per row": self.sent_bytes / self.rows}


def make(kind: str, count: int, folder: Path, *, per_s: float | None = None) -> Bodies:
    """Make `count` bodies below the new folder `folder`.

    Their times lie near now; with `per_s` body i is stamped i/per_s seconds after, for a run that sends it then.
    """
    folder.mkdir(parents=True)
    started_s = time.perf_counter()
    parts = min(os.cpu_count() or 1, count)
    run = int.from_bytes(os.urandom(8), "big")
    spacing_ns = 1e9 / per_s if per_s else 0.0
    work = partial(_write_part, kind, str(folder), run, count, parts, time.time_ns(), spacing_ns)
    with ProcessPoolExecutor(parts, mp_context=get_context("spawn")) as pool:
        sizes = list(pool.map(work, range(parts)))
    raw, sent = (sum(column) for column in zip(*sizes, strict=True))
    return Bodies(kind, folder, parts, count, raw, sent, time.perf_counter() - started_s)


def _write_part(
    kind: str, folder: str, run: int, count: int, parts: int, at_ns: int, spacing_ns: float, part: int
) -> tuple[int, int]:
    payload, raw, offsets = PAYLOADS[kind], 0, [0]
    with (Path(folder) / f"part-{part}").open("wb") as file:
        for index in range(part, count, parts):
            body, plain = payload.make((run, index), at_ns + int(index * spacing_ns))
            raw += plain
            file.write(body)
            offsets.append(offsets[-1] + len(body))
            if len(offsets) % 256 == 0 and shutil.disk_usage(folder).free < LOOSE_BYTES:
                raise RuntimeError(f"{folder}: the disk is nearly full; ask for a shorter run")
    np.save(Path(folder) / f"part-{part}.npy", np.array(offsets))
    return raw, offsets[-1]


class Reader:
    """Gives body i without a copy. Belongs to one process."""

    def __init__(self, folder: Path, parts: int) -> None:
        self._parts: list[memoryview] = []
        self._offsets = [np.load(folder / f"part-{part}.npy").tolist() for part in range(parts)]
        for part in range(parts):
            with (folder / f"part-{part}").open("rb") as file:
                self._parts.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))

    def __len__(self) -> int:
        return sum(len(offsets) - 1 for offsets in self._offsets)

    def __getitem__(self, index: int) -> memoryview:
        place, part = divmod(index, len(self._parts))
        offsets = self._offsets[part]
        return self._parts[part][offsets[place] : offsets[place + 1]]

    def __iter__(self) -> Iterator[memoryview]:
        return (self[index] for index in range(len(self)))
