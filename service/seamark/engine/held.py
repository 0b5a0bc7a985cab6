"""The reference that was put, or live traffic before the window -> what the window is held against, read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

from seamark.core.specs import DriftSpec, ReferenceSpec
from seamark.core.windows import Window, format_duration
from seamark.engine.scheduler import slot
from seamark.engine.services import Services
from seamark.store import outcomes, predictions, references
from seamark.store.catalog.references import ReferenceSet
from seamark.store.feature_profiles import FeatureProfiles
from seamark.store.features import FeatureColumns
from seamark.store.outcomes import Answers
from seamark.store.segments import Segments

ROLLING_ROWS_MAX = 200_000  # of live traffic that serves as a reference
_WEEK = timedelta(days=7)

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
        return self.made(reference.id, lambda: references.profiles(services.lake, reference.schema, reference.id))

    def made(self, name: str, make: Callable[[], FeatureProfiles]) -> FeatureProfiles:
        """The profiles of that name, made once."""
        with self._lock:
            if name in self._profiles:
                self._profiles.move_to_end(name)
                return self._profiles[name]
        profiles = make()
        with self._lock:
            self._profiles[name] = profiles
            held = sum(one.nbytes for one in self._profiles.values())
            while held > self._bytes_max and len(self._profiles) > 1:
                held -= self._profiles.popitem(last=False)[1].nbytes
        return profiles


cache = ReferenceCache()


class AnswerCache:
    """The answers of the references last used, None for those that tell none: a reference never changes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: OrderedDict[str, Answers | None] = OrderedDict()

    def of(self, services: Services, reference_id: str) -> Answers | None:
        """A reference's answers, read from the lake once."""
        return self.made(reference_id, lambda: references.answers(services.lake, reference_id))

    def made(self, name: str, read: Callable[[], Answers]) -> Answers | None:
        """The answers of that name, read once."""
        with self._lock:
            if name in self._answers:
                self._answers.move_to_end(name)
                return self._answers[name]
        told = read()
        found = told if told.tell else None
        with self._lock:
            self._answers[name] = found
            while len(self._answers) > _CACHED:
                self._answers.popitem(last=False)
        return found


answer_cache = AnswerCache()


@dataclass(frozen=True)
class Held:
    """What a window is held against. `id` names it in findings; `answers` is None where it does not tell any."""

    id: str
    profiles: FeatureProfiles
    answers: Answers | None


def held_against(
    services: Services, model: str, version: str | None, window: Window, segments: Segments = ()
) -> Held | None:
    """Return what seamark.yaml says the window is held against, else the reference that is in force, if any.

    Live traffic is of the same version and segments; of more than ROLLING_ROWS_MAX rows it is a sample.
    """
    spec = reference_spec(services, model)
    if spec is not None:
        return _rolling(services, model, version, window, segments, spec)
    reference = services.catalog.references.current(model, version)
    if reference is None:
        return None
    return Held(reference.id, cache.profiles(services, reference), answer_cache.of(services, reference.id))


def held_columns(services: Services, model: str, version: str | None, window: Window) -> FeatureColumns | None:
    """Return the same as columns, for those who need rows."""
    spec = reference_spec(services, model)
    if spec is not None:
        schemas, windows = services.catalog.schemas.of(model), before(window, spec)
        return predictions.feature_columns(services.lake, schemas, model, version, windows, ROLLING_ROWS_MAX)
    reference = services.catalog.references.current(model, version)
    return cache.columns(services, reference) if reference else None


def before(window: Window, spec: ReferenceSpec) -> list[Window]:
    """Return the stretches of traffic that a window is held against.

    A rolling one ends where a window of its length begins that is counted from the epoch, at most one before the window
    itself: so it is the same for all windows of that length, and is read once.
    """
    if spec.same_weekday_weeks is not None:
        weeks = range(1, spec.same_weekday_weeks + 1)
        return [Window(window.start - week * _WEEK, window.end - week * _WEEK) for week in weeks]
    return [Window.trailing(slot(window.start, window.span_s), spec.rolling_s or 0.0)]


def named(windows: Sequence[Window], spec: ReferenceSpec) -> str:
    """Return what findings call a reference that rolls.

    >>> from datetime import UTC, datetime
    >>> spec = ReferenceSpec(rolling_s=604800.0)
    >>> named(before(Window.trailing(datetime(2026, 3, 9, 12, 30, tzinfo=UTC), 3600.0), spec), spec)
    'rolling 7d to 2026-03-09T11:00:00Z'
    """
    if spec.same_weekday_weeks is not None:
        return f"same_weekday {spec.same_weekday_weeks}"
    end = windows[0].end.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"rolling {format_duration(windows[0].span_s)} to {end}"


def reference_spec(services: Services, model: str) -> ReferenceSpec | None:
    """Return the rolling reference that seamark.yaml names for a model, None where it names none."""
    spec = services.configuration.model(model)
    return ((spec.drift if spec else None) or DriftSpec()).reference


def _rolling(
    services: Services, model: str, version: str | None, window: Window, segments: Segments, spec: ReferenceSpec
) -> Held:
    windows = before(window, spec)
    schemas = services.catalog.schemas.of(model)
    key = repr((model, version, tuple(segments), [one.bounds for one in windows]))

    def read() -> FeatureProfiles:
        return predictions.feature_profiles(services.lake, schemas, model, version, windows, ROLLING_ROWS_MAX, segments)

    def read_answers() -> Answers:
        return outcomes.answers(services.lake, model, version, windows, segments, ROLLING_ROWS_MAX)

    return Held(named(windows, spec), cache.made(key, read), answer_cache.made(key, read_answers))
