"""Large rewrites of files happen in a process of their own, of low priority: what arrives meanwhile waits for neither
its interpreter nor its memory. Small ones are done at once, where starting a process would cost more.

    Rewriter.run(job) ──> a line of JSON ──> `python -m seamark.store.rewrite_worker` ──> a line of JSON ──> rows read
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from seamark.core.errors import StoreUnavailable
from seamark.core.records import TIME_COLUMN
from seamark.store.merging import DataFile, merge_files
from seamark.store.new_file import NewFile, read_description
from seamark.store.trace_index import remove_data_file

INLINE_BYTES = 256 * 1024  # of all sources, up to which a rewrite is done in this process
TIMEOUT_S = 600.0  # a rewrite takes seconds
RESTS_MAX = 6  # rests in a row after which the process is let go

# Its memory goes back to the system at once: it holds large pieces for a short time.
_FRUGAL = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
_US = pa.timestamp("us", tz="UTC")


class Old(msgspec.Struct, frozen=True):
    """Rows to leave out: of before `cut`, or received before it and further in the future than `far`."""

    cut: datetime
    far: datetime

    def young(self, rows: pa.Table, table: str) -> pa.Table:
        """Return the other rows."""
        at, received = rows[TIME_COLUMN[table]], rows["received_at"]
        cut, far = pa.scalar(self.cut, _US), pa.scalar(self.far, _US)
        old = pc.or_(pc.less(at, cut), pc.and_(pc.less(received, cut), pc.greater(at, far)))
        return rows.filter(pc.invert(old))


class Rewrite(msgspec.Struct, frozen=True):
    """Rows of `sources`, but for old ones, into the new file `target`; `schema` is the table's, serialized by Arrow."""

    table: str
    sources: Sequence[DataFile]
    target: str
    schema: bytes
    old: Old | None = None


class Rewritten(msgspec.Struct, frozen=True):
    """How many rows were read, and the new file."""

    rows: int
    new: NewFile


class Outcome(msgspec.Struct, frozen=True):
    """What came of it, or why it failed."""

    done: Rewritten | None = None
    error: str | None = None


def rewrite(job: Rewrite) -> Rewritten:
    """Do it here. OSError or pa.ArrowException leaves nothing behind."""
    old = job.old
    rows = merge_files(
        job.table,
        job.sources,
        Path(job.target),
        schema=pa.ipc.read_schema(pa.py_buffer(job.schema)),
        keep=None if old is None else lambda rows: old.young(rows, job.table),
    )
    return Rewritten(rows, read_description(job.table, Path(job.target)))


class Rewriter:
    """Does one rewrite at a time, in a process that it starts when it must and lets go when it is not needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._rests = 0

    def run(self, job: Rewrite) -> Rewritten:
        """Return what came of it; StoreUnavailable leaves nothing behind."""
        self._rests = 0
        try:
            if sum(file.file_bytes for file in job.sources) <= INLINE_BYTES:
                return rewrite(job)
            outcome = self._ask(job)
        except (OSError, ValueError, pa.ArrowException) as error:
            self.close()
            remove_data_file(job.target)
            raise StoreUnavailable(f"files of {job.table} could not be rewritten: {error}") from error
        except BaseException:
            self.close()  # with the answer it may yet give
            raise
        if outcome.done is None:
            remove_data_file(job.target)
            raise StoreUnavailable(f"files of {job.table} could not be rewritten: {outcome.error}")
        return outcome.done

    def rest(self) -> None:
        """Note that there was nothing to do."""
        self._rests += 1
        if self._rests >= RESTS_MAX:
            self.close()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, job: Rewrite) -> Outcome:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-P", "-m", "seamark.store.rewrite_worker", str(os.getpid())]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_FRUGAL}
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Timer(TIMEOUT_S, process.kill)
        overdue.start()
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            overdue.cancel()
        if not answer:
            raise OSError(f"the process that rewrites ended with status {process.wait()}")
        return msgspec.json.decode(answer, type=Outcome)
