"""Files and live traffic -> references in force; and which came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from seamark.core.errors import NotFound
from seamark.core.records import FeatureSchema
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import outcomes, references
from seamark.store.catalog.references import ReferenceSet
from seamark.store.vectors import as_lists
from seamark.wire.rows import ReferenceFile


def put(
    services: Services,
    model: str,
    version: str,
    schema: FeatureSchema,
    rows: pa.Table,
    source: Mapping[str, Any],
    at: datetime,
    *,
    outcomes: pa.Table | None = None,
    untyped: Sequence[str] = (),
    by: str = "",
    promote: bool = True,
) -> ReferenceSet:
    """Keep rows (a column for each feature of the schema) as a reference of a version, in force if `promote`.

    Version "" is of all versions without a reference of their own. `outcomes` has some of the columns OUTCOMES;
    `untyped` features have no value; `by` is the id of the API key that asks. StoreUnavailable, and nothing changes,
    where a store does not answer.
    """
    reference = ReferenceSet(uuid4().hex[:16], model, version, at, rows.num_rows, schema, source, tuple(untyped))
    references.put(services.lake, reference.id, schema, rows, outcomes)
    services.catalog.references.put(reference, by, promote=promote)
    return reference


def from_file(
    services: Services,
    model: str,
    version: str,
    file: ReferenceFile,
    media_type: str,
    at: datetime,
    by: str = "",
    *,
    promote: bool = True,
) -> ReferenceSet:
    """Keep a file's rows as a reference; see put()."""
    return put(
        services,
        model,
        version,
        file.schema,
        file.features,
        {"upload": media_type},
        at,
        outcomes=file.outcomes,
        untyped=file.untyped,
        by=by,
        promote=promote,
    )


def from_traffic(
    services: Services,
    model: str,
    version: str,
    window: Window,
    at: datetime,
    by: str = "",
    *,
    promote: bool = True,
) -> ReferenceSet:
    """Keep a stretch of live traffic, with the labels that have come, likewise; NotFound where there was none."""
    schemas = services.catalog.schemas.of(model)
    live, told = outcomes.as_reference(services.lake, schemas, model, version or None, window)
    if live.rows == 0:
        raise NotFound(f"{model} logged no prediction from {window.start.isoformat()} to {window.end.isoformat()}")
    vectors = tuple(sorted((name, matrix.shape[1]) for name, matrix in live.vectors.items()))
    schema = FeatureSchema(tuple(sorted(live.numeric)), tuple(sorted(live.categorical)), vectors)
    lists = {name: as_lists(matrix) for name, matrix in live.vectors.items()}
    columns = {**live.numeric, **live.categorical, **lists}
    rows = pa.table(columns) if columns else told.select([])
    source = {"from": window.start.isoformat(), "to": window.end.isoformat()}
    untyped = [name for name, values in live.numeric.items() if not np.isfinite(values).any()]
    return put(
        services,
        model,
        version,
        schema,
        rows,
        source,
        at,
        outcomes=told,
        untyped=sorted(untyped),
        by=by,
        promote=promote,
    )
