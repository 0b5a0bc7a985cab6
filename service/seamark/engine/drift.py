"""A window of predictions and its reference -> a drift finding; and both as tables, for a report."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from seamark.compute import drift_window
from seamark.compute.profiles import PROFILERS, Profile, of_kind
from seamark.core.errors import NotFound
from seamark.core.findings import DriftFinding
from seamark.core.records import FeatureSchema
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.engine import answers, joint_drift
from seamark.engine.held import held_against, held_columns
from seamark.engine.services import Services
from seamark.store import predictions
from seamark.store.feature_profiles import FeatureProfiles
from seamark.store.features import FeatureColumns
from seamark.store.segments import Segments

_turn = Lock()


class Together:
    """The windows of many models that are due at one instant, read group by group; each is given out once.

    Models whose windows are small lie in the same files, and reading those is most of the work.
    """

    def __init__(self, services: Services, models: Sequence[str], window: Window) -> None:
        self._services, self._window = services, window
        self._waiting: list[str] = list(models)
        self._groups: list[list[str]] | None = None  # None: nobody has asked yet
        self._schemas: dict[str, Mapping[int, FeatureSchema]] = {}
        self._read: dict[str, FeatureProfiles] = {}
        self._last: tuple[str, FeatureProfiles] | None = None

    def window_of(self, model: str) -> FeatureProfiles:
        """Return a model's window. The last one is kept: whoever asks for it next need not have it read again."""
        if self._last is None or self._last[0] != model:
            self._last = None  # before the next is read: a window may be large
            current = self.take(model)
            if current is None:
                schemas = self._services.catalog.schemas.of(model)
                current = predictions.feature_profiles(self._services.lake, schemas, model, None, self._window)
            self._last = (model, current)
        return self._last[1]

    def take(self, model: str) -> FeatureProfiles | None:
        """Return a model's window, or None where it is to be read alone."""
        if self._groups is None:
            self._groups = []  # should reading fail, each is read alone
            self._schemas = {name: self._services.catalog.schemas.of(name) for name in self._waiting}
            if len(self._waiting) > 1:
                lake = self._services.lake
                self._groups = predictions.groups_to_read_together(lake, self._schemas, self._window)
        group = next((group for group in self._groups if model in group), None)
        if group is not None:
            self._groups.remove(group)
            schemas = {name: self._schemas[name] for name in group}
            self._read = predictions.feature_profiles_together(self._services.lake, schemas, self._window)
        return self._read.pop(model, None)


def judge(
    services: Services,
    model: str,
    version: str | None,
    window: Window,
    current: FeatureProfiles | None = None,
    *,
    segments: Segments = (),
) -> DriftFinding:
    """Return what drifted in a window, or in these segments of it, by the model's drift settings or the defaults.

    `current` is what the window, or that part of it, holds, where it was read already. One window is read and judged at
    a time, whoever asks: a large one takes hundreds of megabytes.
    """
    with _turn:
        return _judge(services, model, version, window, current, segments)


def _judge(
    services: Services,
    model: str,
    version: str | None,
    window: Window,
    current: FeatureProfiles | None,
    segments: Segments,
) -> DriftFinding:
    spec = services.configuration.model(model)
    drift = (spec.drift if spec else None) or DriftSpec()
    if current is None:
        schemas = services.catalog.schemas.of(model)
        current = predictions.feature_profiles(services.lake, schemas, model, version, window, segments=segments)
    held = held_against(services, model, version, window, segments)
    kinds = kinds_of(held.profiles if held else None, current)
    said = answers.against(services, held, model, version, window, tuple(kinds), segments)
    known = profiles_of(held.profiles, kinds) if held else {}
    joint = joint_drift.look(services, model, version, window, drift, kinds, held, known, segments)
    reference = {**known, **said.reference} if held else {}
    if held is not None and not reference:
        # Live traffic of which there was none is too little to judge by: not the same as no reference.
        reference = {name: PROFILERS[kind](np.empty(0)) for name, kind in kinds.items()}
    told = f"|{list(segments)}" if segments else ""
    return drift_window.judge(
        model,
        version,
        window,
        {**profiles_of(current, kinds), **said.current, **joint.current},
        {**reference, **joint.reference},
        {**kinds, **said.kinds, **joint.kinds},
        drift,
        reference_id=held.id if held else None,
        # One window and reference always give one answer: resampling is seeded by what it is about.
        seed=zlib.crc32(f"{model}|{version}|{window.end.isoformat()}|{window.span_s}{told}".encode()),
        segment=dict(segments),
    )


def samples(
    services: Services, model: str, version: str | None, window: Window
) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Return (reference, current, kinds) as tables of named columns, for a report; NotFound where one is empty."""
    schemas = services.catalog.schemas.of(model)
    current = predictions.feature_columns(services.lake, schemas, model, version, window)
    held = held_columns(services, model, version, window)
    if held is None:
        raise NotFound(f"{model} has no reference; PUT /api/v1/models/{model}/reference first")
    if current.rows == 0:
        raise NotFound(f"{model} has no predictions in the window that ends at {window.end.isoformat()}")
    if held.rows == 0:
        raise NotFound(f"{model} has no predictions in the time that its windows are held against")
    kinds = kinds_of(held, current)
    shared = [name for name in columns_of(held) if name in columns_of(current)]
    tables = [pa.table({name: columns_of(side)[name] for name in shared}) for side in (held, current)]
    return tables[0], tables[1], {name: kinds[name] for name in shared}


def columns_of(side: FeatureColumns) -> dict[str, Any]:
    """Every single feature's values by name; vectors are none."""
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
