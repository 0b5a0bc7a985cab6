"""A window of predictions and its reference -> drift and quality findings; references from uploads or live traffic."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import uuid4

import pyarrow as pa

from seamark.compute import drift_window, quality
from seamark.compute.profiles import Profile, of_kind
from seamark.core.errors import NotFound
from seamark.core.findings import DriftFinding, FeatureQuality
from seamark.core.records import FeatureSchema
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.engine.services import Services
from seamark.store import predictions, references
from seamark.store.catalog.conclusions import ReferenceSet
from seamark.store.feature_profiles import FeatureProfiles
from seamark.store.features import FeatureColumns

_CACHED = 16
_CACHED_BYTES = 256_000_000  # of profiles: a hundred references of 10,000 rows and 30 numbers each


class ReferenceCache:
    """The columns and profiles of the references last used: they never change, only newer ones come."""

    def __init__(self, bytes_max: int = _CACHED_BYTES) -> None:
        self._lock = Lock()
        self._bytes_max = bytes_max
        self._columns: OrderedDict[str, FeatureColumns] = OrderedDict()
        self._profiles: OrderedDict[str, FeatureProfiles] = OrderedDict()

    def columns(self, services: Services, reference: ReferenceSet) -> FeatureColumns:
        """A reference's columns, read from the lake once."""
        with self._lock:
            if reference.id in self._columns:
                self._columns.move_to_end(reference.id)
                return self._columns[reference.id]
        columns = references.columns(services.lake, reference.schema, reference.id)
        with self._lock:
            self._columns[reference.id] = columns
            while len(self._columns) > _CACHED:
                self._columns.popitem(last=False)
        return columns

    def profiles(self, services: Services, reference: ReferenceSet) -> FeatureProfiles:
        """A reference's profiles: read, sorted and counted once. The last one is kept however large it is."""
        with self._lock:
            if reference.id in self._profiles:
                self._profiles.move_to_end(reference.id)
                return self._profiles[reference.id]
        profiles = references.profiles(services.lake, reference.schema, reference.id)
        with self._lock:
            self._profiles[reference.id] = profiles
            held = sum(one.nbytes for one in self._profiles.values())
            while held > self._bytes_max and len(self._profiles) > 1:
                held -= self._profiles.popitem(last=False)[1].nbytes
        return profiles


_cache = ReferenceCache()


class Together:
    """The windows of many models that are due at one instant, read group by group; each is given out once.

    Models whose windows are small lie in the same files, and reading those is most of the work.
    """

    def __init__(self, services: Services, models: Sequence[str], window: Window) -> None:
        self._services, self._window = services, window
        self._waiting: list[str] = list(models)
        self._groups: list[list[str]] | None = None  # None: nobody has asked yet
        self._read: dict[str, FeatureProfiles] = {}

    def take(self, model: str) -> FeatureProfiles | None:
        """Return a model's window, or None where it is to be read alone."""
        if self._groups is None:
            self._groups = []  # should reading fail, each is read alone
            lake = self._services.lake
            self._groups = predictions.groups_to_read_together(lake, self._waiting, self._window)
        group = next((group for group in self._groups if model in group), None)
        if group is not None:
            self._groups.remove(group)
            schemas = {name: self._services.catalog.schemas.of(name) for name in group}
            self._read = predictions.feature_profiles_together(self._services.lake, schemas, self._window)
        return self._read.pop(model, None)


def judge(
    services: Services, model: str, version: str | None, window: Window, current: FeatureProfiles | None = None
) -> DriftFinding:
    """Return what drifted in a window, by the model's drift settings or the defaults.

    `current` is what the window holds, where it was read already.
    """
    spec = services.configuration.model(model)
    drift = (spec.drift if spec else None) or DriftSpec()
    if current is None:
        schemas = services.catalog.schemas.of(model)
        current = predictions.feature_profiles(services.lake, schemas, model, version, window)
    reference = services.catalog.references.current(model, version)
    held = _cache.profiles(services, reference) if reference else None
    kinds = kinds_of(held, current)
    return drift_window.judge(
        model,
        version,
        window,
        profiles_of(current, kinds),
        profiles_of(held, kinds) if held else {},
        kinds,
        drift,
        reference_id=reference.id if reference else None,
        # One window and reference always give one answer: resampling is seeded by what it is about.
        seed=zlib.crc32(f"{model}|{version}|{window.end.isoformat()}|{window.span_s}".encode()),
    )


def assess_quality(services: Services, model: str, version: str | None, window: Window) -> list[FeatureQuality]:
    """Return nulls, values out of range and new categories in a window."""
    current = _current(services, model, version, window)
    reference = services.catalog.references.current(model, version)
    held = _cache.columns(services, reference) if reference else None
    return quality.assess(columns_of(current), columns_of(held) if held else {}, kinds_of(held, current))


def samples(
    services: Services, model: str, version: str | None, window: Window
) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Return (reference, current, kinds) as tables of named columns, for a report; NotFound where one is empty."""
    current = _current(services, model, version, window)
    reference = services.catalog.references.current(model, version)
    if reference is None:
        raise NotFound(f"{model} has no reference; PUT /api/v1/models/{model}/reference first")
    if current.rows == 0:
        raise NotFound(f"{model} has no predictions in the window that ends at {window.end.isoformat()}")
    held = _cache.columns(services, reference)
    kinds = kinds_of(held, current)
    shared = [name for name in columns_of(held) if name in columns_of(current)]
    tables = [pa.table({name: columns_of(side)[name] for name in shared}) for side in (held, current)]
    return tables[0], tables[1], {name: kinds[name] for name in shared}


def columns_of(side: FeatureColumns) -> dict[str, Any]:
    """Every feature's values by name."""
    return {**side.numeric, **side.categorical}


def profiles_of(side: FeatureProfiles, kinds: Mapping[str, str]) -> dict[str, Profile]:
    """Every feature's profile by name, as one of its kind: the reference's word counts where a window's is another."""
    found: dict[str, Profile] = {}
    for name, kind in kinds.items():
        wanted, other = (side.numeric, side.categorical)[:: 1 if kind == "numeric" else -1]
        if name in wanted:
            found[name] = wanted[name]
        elif name in other:
            found[name] = of_kind(other[name], kind)
    return found


def kinds_of(*sides: FeatureColumns | FeatureProfiles | None) -> dict[str, str]:
    """Numeric or categorical by name; the first side that knows a name decides."""
    kinds: dict[str, str] = {}
    for side in sides:
        if side is not None:
            for kind, names in (("numeric", side.numeric), ("categorical", side.categorical)):
                for name in names:
                    kinds.setdefault(name, kind)
    return kinds


def put_reference(
    services: Services,
    model: str,
    version: str,
    schema: FeatureSchema,
    rows: pa.Table,
    source: Mapping[str, Any],
    at: datetime,
) -> ReferenceSet:
    """Keep rows (a column for each feature of the schema) as the model's reference from now on."""
    reference = ReferenceSet(uuid4().hex[:16], model, version, at, rows.num_rows, schema, source)
    references.put(services.lake, reference.id, schema, rows)
    services.catalog.references.put(reference)
    return reference


def reference_from_traffic(services: Services, model: str, version: str, window: Window, at: datetime) -> ReferenceSet:
    """Keep a stretch of live traffic as the model's reference; NotFound where there was none."""
    live = _current(services, model, version or None, window)
    if live.rows == 0:
        raise NotFound(f"{model} logged no prediction from {window.start.isoformat()} to {window.end.isoformat()}")
    schema = FeatureSchema(tuple(sorted(live.numeric)), tuple(sorted(live.categorical)))
    source = {"from": window.start.isoformat(), "to": window.end.isoformat()}
    return put_reference(services, model, version, schema, pa.table(columns_of(live)), source, at)


def _current(services: Services, model: str, version: str | None, window: Window) -> FeatureColumns:
    schemas = services.catalog.schemas.of(model)
    return predictions.feature_columns(services.lake, schemas, model, version, window)
