"""The advice of the minutes before -> the few of it that a decision goes by, which are kept with the decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from seamark.core.advice import PastAdvice, Recommendation

Advised = PastAdvice | Recommendation


def telling(
    recent: Sequence[Advised], at: datetime, *, kept_s: float, watched_s: float, limited_s: float
) -> tuple[PastAdvice, ...]:
    """Return at most six of `recent`, in its order, that make a decision what it is; the rest may be forgotten.

    They are of the last `kept_s` the last count advised, the largest need within `watched_s`, the newest whose need is
    not known, the oldest after it whose is, and the lowest and the highest count within `limited_s`; or, of none then,
    the newest before. Of these few the same are found again. Where several will do it is the newest: mostly one is all
    of them, beside the oldest.
    """
    aged = [(age_s, place) for place, one in enumerate(recent) if (age_s := (at - one.at).total_seconds()) > 0]
    told = sorted(aged)  # newest first; of one instant the first, as max() has it
    lately = [(age_s, place, recent[place]) for age_s, place in told if age_s <= kept_s]
    if not lately:
        return tuple(_past(recent[place]) for _, place in told[:1])
    counted = [each for each in lately if each[2].replicas is not None]
    known = [each for each in lately if each[2].needed is not None]
    unknown = [each for each in lately if each[2].needed is None][:1]
    since = [each for each in known if not unknown or each[0] < unknown[0][0]]
    watched = [each for each in known if each[0] <= watched_s]
    limited = [each for each in counted if each[0] <= limited_s]
    found = [*counted[:1], *unknown, *since[-1:]]
    found += [max(watched, key=lambda each: each[2].needed or 0)] if watched else []
    if limited:
        found += [pick(limited, key=lambda each: each[2].replicas or 0) for pick in (min, max)]
    return tuple(_past(recent[place]) for place in sorted({place for _, place, _ in found}))


def _past(one: Advised) -> PastAdvice:
    return PastAdvice(one.at, one.state, one.replicas, one.needed)
