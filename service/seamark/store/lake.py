"""The lake's contract: rows in, durable before it returns; SQL over the same rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from seamark.core.errors import StoreUnavailable


class CommitFailed(StoreUnavailable):
    """COMMIT itself failed: the rows may be there or not."""


Within = tuple[datetime, datetime]  # the first and the last instant


@dataclass(frozen=True)
class LakeHealth:
    """What the lake holds: data files and their bytes, and free bytes of its disk (None: no disk of ours)."""

    files: int
    data_bytes: int
    free_bytes: int | None


class Lake(Protocol):
    """Where rows live (core/records.py names the tables and their columns).

    append() returns only after every row of every table is durable and visible to later queries, all in one
    transaction, and raises StoreUnavailable otherwise; a sender is answered on the strength of a return. It returns the
    rows it stored: a span that is known to be stored already is not stored again.
    may_repeat() tells whether a span that began in [start, end) may be stored more than once all the same.
    query() reads one consistent snapshot; a table is called `lake.<name>`. A read that failed raises
    StoreUnavailable and never returns empty. Both may be called from any thread. Whoever gives `within` promises that
    the SQL takes no row whose TIME_COLUMN lies outside, and with `of_trace` none whose trace_key is another: files that
    hold only such rows are then not even opened.
    maintain() does one bounded step of merging small files, dropping rows older than `keep_days` and giving the disk
    back, without holding appends back, and returns whether more is due now. close() may be called twice.
    """

    def append(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]: ...

    def may_repeat(self, start: datetime, end: datetime) -> bool: ...

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        within: Within | None = None,
        of_trace: int | None = None,
    ) -> pa.Table: ...

    def maintain(self, at: datetime, keep_days: float | None) -> bool: ...

    def health(self) -> LakeHealth: ...

    def close(self) -> None: ...
