"""A window of predictions, its reference and the rows that were refused -> a finding of data quality."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from seamark.compute import quality
from seamark.compute.profiles import PROFILERS
from seamark.compute.quality import Repeats
from seamark.core.quality import QualityFinding, SchemaChange
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.engine.drift import kinds_of, profiles_of
from seamark.engine.held import ROLLING_ROWS_MAX, Held, before, held_against, reference_spec
from seamark.engine.services import Services
from seamark.store import predictions, repeated_rows
from seamark.store.catalog.references import ReferenceSet
from seamark.store.feature_profiles import FeatureProfiles
from seamark.store.repeated_rows import HashArray
from seamark.store.segments import Segments

CHANGES_MAX = 200
HASH_BYTES_MAX = 32_000_000
ROWS_MAX = ROLLING_ROWS_MAX  # of a window: what is worse by a hundredth shows in a sample as well


class HashCache:
    """Hashes of the rows of the references last used, by the features they were made of: 8 bytes a row."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._hashes: OrderedDict[tuple[str, tuple[str, ...]], HashArray] = OrderedDict()

    def of(self, services: Services, reference: ReferenceSet, names: Sequence[str]) -> HashArray:
        """A reference's hashes, read from the lake once."""
        key = (reference.id, tuple(names))
        with self._lock:
            if key in self._hashes:
                self._hashes.move_to_end(key)
                return self._hashes[key]
        hashes = repeated_rows.of_reference(services.lake, reference.schema, names, reference.id)
        with self._lock:
            self._hashes[key] = hashes
            while len(self._hashes) > 1 and sum(one.nbytes for one in self._hashes.values()) > HASH_BYTES_MAX:
                self._hashes.popitem(last=False)
        return hashes


_hashes = HashCache()


def assess(
    services: Services,
    model: str,
    version: str | None,
    window: Window,
    current: FeatureProfiles | None = None,
    *,
    segments: Segments = (),
) -> QualityFinding:
    """Return how good a window's data are, or those of these segments of it, by the settings of the model's drift.

    `current` is what the window, or that part of it, holds, where it was read already.
    """
    spec = services.configuration.model(model)
    drift = (spec.drift if spec else None) or DriftSpec()
    if current is None:
        schemas = services.catalog.schemas.of(model)
        current = predictions.feature_profiles(services.lake, schemas, model, version, window, ROWS_MAX, segments)
    held = held_against(services, model, version, window, segments)
    kinds = kinds_of(held.profiles if held else None, current)
    now = profiles_of(current, kinds)
    reference = profiles_of(held.profiles, kinds) if held else None
    if held is not None and not held.profiles.rows:
        reference = {name: PROFILERS[kind](np.empty(0)) for name, kind in kinds.items()}
    repeats = _repeats(services, model, version, window, segments, held, current)
    features, duplicates = quality.assess(
        now, reference, kinds, repeats, rows_min=drift.rows_min, false_alarms=drift.false_alarms
    )
    changes = _new_and_vanished(services, model, version, window, held, current)
    if not segments:  # a row that was refused is in none
        changes += _refused(services, model, version, window)
    return QualityFinding(
        model,
        version,
        window,
        current.rows,
        tuple(features),
        duplicates,
        tuple(changes[:CHANGES_MAX]),
        held.id if held else None,
        dict(segments),
    )


def _repeats(
    services: Services,
    model: str,
    version: str | None,
    window: Window,
    segments: Segments,
    held: Held | None,
    current: FeatureProfiles,
) -> Repeats | None:
    """Return how often rows occur, by the features that both sides have; None where that is not known."""
    names = {*current.numeric, *current.categorical}
    if held is not None and held.profiles.rows:
        names &= {*held.profiles.numeric, *held.profiles.categorical}
    if not names or not current.rows:
        return None
    schemas, shared = services.catalog.schemas.of(model), sorted(names)
    if any(schema.vectors for schema in schemas.values()):
        return None  # rows whose other features are alike may differ in their vectors, which are not looked at
    after = repeated_rows.of_window(services.lake, schemas, shared, model, version, [window], segments)
    rolling = reference_spec(services, model)
    if rolling is not None:
        windows = before(window, rolling)
        was = repeated_rows.of_window(services.lake, schemas, shared, model, version, windows, segments)
    elif held is not None and (reference := services.catalog.references.current(model, version)) is not None:
        was = _hashes.of(services, reference, shared)
    else:
        was = after[:0]
    return Repeats(*repeated_rows.aligned(was, after))


def _new_and_vanished(
    services: Services, model: str, version: str | None, window: Window, held: Held | None, current: FeatureProfiles
) -> list[SchemaChange]:
    """Return features that the window has and the reference has not, and the other way round.

    Without a reference the features that rows told before the window stand in for it.
    """
    told = {name for side in (current.numeric, current.categorical) for name, one in side.items() if one.rows}
    since = services.catalog.feature_types.since(model, version)
    if held is not None and held.profiles.rows:
        known = {*held.profiles.numeric, *held.profiles.categorical}
    else:
        known = {name for name, at in since.items() if at < window.start}
    # Vectors are not among the profiles; drift tells of theirs.
    known -= {name for schema in services.catalog.schemas.of(model).values() for name, _ in schema.vectors}
    if not known or not current.rows:
        return []
    sent = {*current.numeric, *current.categorical}
    return [SchemaChange(name, "new", since=since.get(name)) for name in sorted(told - known)] + [
        SchemaChange(name, "vanished") for name in sorted(known - sent)
    ]


def _refused(services: Services, model: str, version: str | None, window: Window) -> list[SchemaChange]:
    found = services.catalog.feature_types.refused(model, version, window)
    return [SchemaChange(one.feature, "type_refused", one.last_at, one.rows, one.version, one.sent) for one in found]
