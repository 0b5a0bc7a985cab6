"""Feature schemas become the lists of names that a catalog row holds, and back."""

from __future__ import annotations

from typing import Any

from seamark.core.records import FeatureSchema


def lists_of(schema: FeatureSchema) -> dict[str, list[Any]]:
    """Return a schema's columns. A vector stands behind the numbers' names as [name, dimension]."""
    return {"numeric": [*schema.numeric, *map(list, schema.vectors)], "categorical": list(schema.categorical)}


def schema_of(row: Any) -> FeatureSchema:
    """Return the schema that a row's columns hold."""
    numeric = tuple(entry for entry in row.numeric if isinstance(entry, str))
    vectors = tuple((name, dimension) for name, dimension in row.numeric[len(numeric) :])
    return FeatureSchema(numeric, tuple(row.categorical), vectors)
