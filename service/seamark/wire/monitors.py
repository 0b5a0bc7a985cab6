"""A rolling reference and the segments to watch, as seamark.yaml writes them, become specs, or mistakes with lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seamark.core.specs import ReferenceSpec, Segment
from seamark.wire.checks import Checker, join
from seamark.wire.values import NAME_LENGTH_MAX, shown

SEGMENTS_MAX = 20  # of a model: each is judged, and told, like a model of its own
LABELS_MAX = 10  # of a segment
ROLLING_MOST_S = 92 * 86_400.0
WEEKS_MAX = 12


def read_reference(checker: Checker, value: Any, path: str) -> ReferenceSpec | None:
    """Return `{rolling: 7d}` or `{same_weekday: 4}`; None where there is none or it is wrong."""
    if value is None:
        return None
    found = checker.mapping(value, path, ("rolling", "same_weekday"), "a reference")
    if found is None:
        return None
    if len([item for item in found.values() if item is not None]) != 1:
        if len(found) == len(value):  # an unknown key has been told already
            checker.wrong(path, "must name one of rolling (like 7d) and same_weekday (a number of weeks)")
        return None
    rolling_s = checker.seconds(found.get("rolling"), join(path, "rolling"), least_s=60, most_s=ROLLING_MOST_S)
    weeks = checker.whole(found.get("same_weekday"), join(path, "same_weekday"), least=1, most=WEEKS_MAX)
    return None if rolling_s is None and weeks is None else ReferenceSpec(rolling_s, weeks)


def read_segments(checker: Checker, value: Any, path: str) -> tuple[Segment, ...]:
    """Return segments, each a mapping of labels to values; a mistake for one that is written twice."""
    segments = checker.each(value, path, "segments", lambda item, place: _segment(checker, item, place))
    if len(segments) > SEGMENTS_MAX:
        checker.wrong(path, f"has {len(segments)} segments; at most {SEGMENTS_MAX} are watched")
    for index, segment in enumerate(segments):
        if segment in segments[:index]:
            told = ", ".join(f"{label}: {item}" for label, item in segment)
            checker.wrong(path, f"names the segment {shown(told)} twice")
    return segments


def _segment(checker: Checker, value: Any, path: str) -> Segment | None:
    if not isinstance(value, Mapping) or not 0 < len(value) <= LABELS_MAX:
        checker.wrong(path, f"{shown(value)} is no segment; write 1 to {LABELS_MAX} labels and values, {{country: de}}")
        return None
    found = []
    for label, item in value.items():
        text = {True: "true", False: "false"}[item] if isinstance(item, bool) else str(item)
        place = join(path, str(label)[:100])
        if not isinstance(label, str) or not 0 < len(label) <= NAME_LENGTH_MAX:
            checker.wrong(place, f"{shown(label)} is no label; write a string of 1 to {NAME_LENGTH_MAX} characters")
        elif not isinstance(item, str | int | float) or len(text) > NAME_LENGTH_MAX:
            checker.wrong(place, f"{shown(item)} is no value of a label; write a string, a number, true or false")
        else:
            found.append((label, text))
    return tuple(sorted(found)) if len(found) == len(value) else None
