"""What a model answered, in a window and before -> profiles that are judged for drift beside its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seamark.compute.answers import answer_columns
from seamark.compute.profiles import Profile, profile_all
from seamark.core.windows import Window
from seamark.engine.held import Held
from seamark.engine.services import Services
from seamark.store import outcomes
from seamark.store.segments import Segments


@dataclass(frozen=True)
class AnswerProfiles:
    """Profiles and kinds by name; all empty where it is not known what was answered before."""

    reference: Mapping[str, Profile] = field(default_factory=dict)
    current: Mapping[str, Profile] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


def against(
    services: Services,
    held: Held | None,
    model: str,
    version: str | None,
    window: Window,
    taken: Sequence[str],
    segments: Segments = (),
) -> AnswerProfiles:
    """Return the answers of a window and of what it is held against; `taken` are the names that features have."""
    if held is None or held.answers is None:
        return AnswerProfiles()
    now = outcomes.answers(services.lake, model, version, window, segments)
    before, after, kinds = answer_columns(held.answers, now, taken)
    return AnswerProfiles(profile_all(before, kinds), profile_all(after, kinds), kinds)
