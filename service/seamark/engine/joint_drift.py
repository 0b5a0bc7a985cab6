"""What is judged by whole rows - vectors, texts, all features together - becomes profiles of sampled rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from seamark.compute.profiles import Levels, Profile, profile_all
from seamark.compute.row_profile import ROWS_MAX
from seamark.compute.text_profile import LENGTH_MAX, is_text
from seamark.core.drift_parts import ALL_FEATURES
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window
from seamark.engine.held import Held, before
from seamark.engine.services import Services
from seamark.store import predictions, references
from seamark.store.features import FeatureColumns
from seamark.store.segments import Segments

_CACHED_BYTES = 256_000_000
_FEATURES_MIN = 2  # a row of one feature is that feature


@dataclass(frozen=True)
class Joint:
    """The kinds of what is judged by whole rows, and the profiles of both sides by the same names."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    current: Mapping[str, Profile] = field(default_factory=dict)
    reference: Mapping[str, Profile] = field(default_factory=dict)


class JointCache:
    """The profiles of the references last used, by what was asked of them; the last one is kept however large it is."""

    def __init__(self, bytes_max: int = _CACHED_BYTES) -> None:
        self._lock = Lock()
        self._bytes_max = bytes_max
        self._held: OrderedDict[tuple[Any, ...], dict[str, Profile]] = OrderedDict()

    def profiles(self, name: str, kinds: Mapping[str, str], read: Callable[[], FeatureColumns]) -> dict[str, Profile]:
        """The profiles of these kinds, made once, of the reference of that name."""
        key = (name, *sorted(kinds.items()))
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        profiles = _profiles(read(), kinds)
        with self._lock:
            self._held[key] = profiles
            held = sum(map(_bytes, self._held.values()))
            while held > self._bytes_max and len(self._held) > 1:
                held -= _bytes(self._held.popitem(last=False)[1])
        return profiles


_cache = JointCache()


def look(
    services: Services,
    model: str,
    version: str | None,
    window: Window,
    spec: DriftSpec,
    kinds: Mapping[str, str],
    held: Held | None,
    known: Mapping[str, Profile],
    segments: Segments = (),
) -> Joint:
    """Return what the rows of this window and of its reference, at most 10,000 each, say together.

    `kinds` and `known` are the kinds of single features and the reference's profiles of them. Nothing is read where
    nothing is judged so.
    """
    schemas = services.catalog.schemas.of(model)
    texts = _texts(spec, kinds, known)
    wanted = dict.fromkeys(texts, "text")
    stored = services.catalog.references.current(model, version) if held and spec.reference is None else None
    of_reference = [name for name, _ in stored.schema.vectors] if stored else []
    wanted |= {name: "vector" for schema in schemas.values() for name, _ in schema.vectors}
    wanted |= dict.fromkeys(of_reference, "vector")
    if spec.multivariate and len(kinds) - len(texts) >= _FEATURES_MIN and ALL_FEATURES not in kinds:
        wanted[ALL_FEATURES] = "multivariate"
    if not wanted:
        return Joint()

    def traffic(windows: Sequence[Window]) -> FeatureColumns:
        return predictions.feature_columns(
            services.lake, schemas, model, version, windows, ROWS_MAX, segments, LENGTH_MAX
        )

    earlier: Mapping[str, Profile] = {}
    if stored is not None:
        reference = stored

        def read() -> FeatureColumns:
            return references.columns(services.lake, reference.schema, reference.id, ROWS_MAX, LENGTH_MAX)

        earlier = _cache.profiles(stored.id, wanted, read)
    elif spec.reference is not None:
        windows = before(window, spec.reference)
        name = repr((model, version, tuple(segments), [one.bounds for one in windows]))
        earlier = _cache.profiles(name, wanted, lambda: traffic(windows))
    columns = traffic([window])
    # A vector that a model sent once and that neither side has is none of its features any more.
    there = {*columns.vectors, *earlier, *of_reference}
    wanted = {feature: kind for feature, kind in wanted.items() if kind != "vector" or feature in there}
    return Joint(wanted, _profiles(columns, wanted), earlier)


def _texts(spec: DriftSpec, kinds: Mapping[str, str], held: Mapping[str, Profile]) -> list[str]:
    """Return the categorical features that are text: those declared so, and those that the reference shows to be."""
    found = []
    for name, kind in kinds.items():
        if kind == "categorical":
            profile, said = held.get(name), spec.kinds.get(name)
            shown = isinstance(profile, Levels) and is_text(profile.names, profile.counts)
            if said == "text" or (said is None and shown):
                found.append(name)
    return found


def _profiles(columns: FeatureColumns, kinds: Mapping[str, str]) -> dict[str, Profile]:
    found: dict[str, Any] = {**columns.vectors, **columns.categorical}
    if ALL_FEATURES in kinds:
        singles = {**columns.numeric, **columns.categorical}
        found[ALL_FEATURES] = {name: column for name, column in singles.items() if name not in kinds}
    return profile_all(found, kinds)


def _bytes(profiles: Mapping[str, Profile]) -> int:
    return sum(profile.nbytes for profile in profiles.values())
