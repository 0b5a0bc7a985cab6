"""Rows of plain values become an Arrow table of a known schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

Row = tuple[Any, ...]  # values in the order of a schema


def as_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return rows of values in the schema's order as a table; instants are microseconds."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
