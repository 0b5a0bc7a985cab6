"""The lake's contract: rows in, durable before it returns; SQL over the same rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa


@dataclass(frozen=True)
class LakeHealth:
    """What the lake holds: data files and their bytes, and free bytes of its disk (None: no disk of ours)."""

    files: int
    data_bytes: int
    free_bytes: int | None


class Lake(Protocol):
    """Where rows live (core/records.py names the tables and their columns).

    append() returns only after every row of every table is durable and visible to later queries, all in one
    transaction, and raises StoreUnavailable otherwise; a sender is answered on the strength of a return.
    query() reads one consistent snapshot; a table is called `lake.<name>`. A read that failed raises
    StoreUnavailable and never returns empty. Both may be called from any thread.
    maintain() merges small files, drops rows older than `keep_days` and gives the disk back; it does bounded work and
    may be called again and again. close() may be called twice.
    """

    def append(self, tables: Mapping[str, pa.Table]) -> None: ...

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pa.Table: ...

    def maintain(self, at: datetime, keep_days: float | None) -> None: ...

    def health(self) -> LakeHealth: ...

    def close(self) -> None: ...
