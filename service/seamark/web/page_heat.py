"""Drift over time -> a table of cells, a feature per row and a window per column, each the way to its evidence."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from seamark.core.drift_history import DriftColumn
from seamark.core.findings import DriftState, FeatureDrift
from seamark.web.feature_paths import feature_start, window_query
from seamark.web.page_views import Chip
from seamark.web.page_words import known, number

FEATURES_SHOWN = 30
LABELS_SHOWN = 6  # of columns; the others have theirs for screen readers alone
NAME_SAID = 40  # characters of a feature's name in each of its cells' words

DRIFT_CHIPS = {
    DriftState.DRIFT: Chip("bad", "drifted"),
    DriftState.CERTAIN_SMALL: Chip("warn", "certain, small"),
    DriftState.NO_DRIFT: Chip("good", "no drift"),
    DriftState.TOO_FEW_ROWS: Chip("quiet", "too few rows"),
    DriftState.NO_REFERENCE: Chip("quiet", "no reference"),
    DriftState.ALL_NULL: Chip("warn", "all null"),
    DriftState.NOT_IN_REFERENCE: Chip("quiet", "not in the reference"),
    DriftState.NOT_IN_WINDOW: Chip("warn", "missing from the window"),
    DriftState.OTHER_DIMENSION: Chip("warn", "of another dimension"),
}
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
_JUDGED = (DriftState.DRIFT, DriftState.CERTAIN_SMALL, DriftState.NO_DRIFT)


def drift_chip(state: DriftState) -> Chip:
    """A state in a word; one that a newer part of the service made is shown by its name."""
    return DRIFT_CHIPS.get(state, Chip("quiet", str(state.value).replace("_", " ")))


@dataclass(frozen=True)
class HeatColumn:
    """One window. `label` is drawn of its end where there is room (`shown`), `said` is read out."""

    key: str
    label: str
    said: str
    shown: bool
    newest: bool


@dataclass(frozen=True)
class HeatCell:
    """One feature in one window. `look` picks colour and pattern, `words` say the same."""

    key: str
    look: str
    words: str
    url: str
    newest: bool


@dataclass(frozen=True)
class HeatRow:
    """One feature, its newest window last. `key` finds it again after a refresh."""

    key: str
    feature: str
    kind: str
    url: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True)
class HeatMap:
    """The whole map. `left_out` features have no row; `span` is the length of a window in words."""

    columns: tuple[HeatColumn, ...]
    rows: tuple[HeatRow, ...]
    left_out: int
    unjudged: int  # windows that nobody judged


def heat_map(model: str, columns: Sequence[DriftColumn]) -> HeatMap | None:
    """Return the map of a model's windows, oldest first; None where no window was judged.

    The features that drift most come first: those that drifted in the newest judged window, then by the number of
    windows they drifted in, then by how near to their threshold they came.
    """
    if not any(column.finding for column in columns):
        return None
    by_window = [{one.feature: one for one in column.finding.features} if column.finding else {} for column in columns]
    features: dict[str, FeatureDrift] = {}
    for found in by_window:
        features |= found
    newest = next(found for found, column in zip(reversed(by_window), reversed(columns), strict=True) if column.finding)

    def order(name: str) -> tuple[bool, int, float, str]:
        seen = [found[name] for found in by_window if name in found]
        now = newest.get(name)
        moved = now is not None and now.state == DriftState.DRIFT
        return not moved, -sum(one.state == DriftState.DRIFT for one in seen), -max(map(_ratio, seen)), name

    wanted = sorted(features, key=order)
    windows = [column.finding.window if column.finding else column.window for column in columns]
    heads, queries = _heads(columns), [window_query(window) for window in windows]
    rows = []
    for name in wanted[:FEATURES_SHOWN]:
        start, shown = feature_start(model, name), visible(name)
        short = shown if len(shown) <= NAME_SAID else shown[: NAME_SAID - 1] + "…"
        cells = tuple(
            _cell(short, found.get(name), column, head, start + query)
            for found, column, head, query in zip(by_window, columns, heads, queries, strict=True)
        )
        rows.append(HeatRow(name, shown, features[name].kind, cells[-1].url, cells))
    return HeatMap(
        columns=heads,
        rows=tuple(rows),
        left_out=max(len(wanted) - FEATURES_SHOWN, 0),
        unjudged=sum(column.finding is None for column in columns),
    )


def _ratio(feature: FeatureDrift) -> float:
    score, threshold = known(feature.score), known(feature.threshold)
    return score / threshold if score is not None and threshold else 0.0


def _heads(columns: Sequence[DriftColumn]) -> tuple[HeatColumn, ...]:
    every = -(-len(columns) // LABELS_SHOWN)
    span_s = columns[-1].window.span_s
    clock = "%H:%M:%S" if span_s % 60 else "%H:%M"
    heads = []
    for place, column in enumerate(columns):
        end = column.window.end
        midnight = (end.hour, end.minute, end.second) == (0, 0, 0)
        pattern = "%d %b" if span_s >= 86_400 or midnight else clock
        heads.append(
            HeatColumn(
                key=f"{end.timestamp():.0f}",
                label="latest" if column.newest else end.strftime(pattern),
                said=f"{'latest, ' if column.newest else ''}until {end.strftime(f'%Y-%m-%d {clock}')}",
                shown=(len(columns) - 1 - place) % every == 0,
                newest=place == len(columns) - 1,
            )
        )
    return tuple(heads)


def _cell(name: str, found: FeatureDrift | None, column: DriftColumn, head: HeatColumn, url: str) -> HeatCell:
    if column.finding is None:
        look, said = "none", "nobody judged this window"
    elif found is None:
        look, said = "none", "the feature was not there"
    else:
        look, said = _look(found), drift_chip(found.state).text
        if found.state in _JUDGED and known(found.score) is not None:
            said += f", score {number(found.score)} of threshold {number(found.threshold)}"
    return HeatCell(head.key, look, f"{name}, {head.said}: {said}", url, head.newest)


def _look(found: FeatureDrift) -> str:
    """Colour by state, and how near to its threshold or how far beyond: a quarter each, then twice and four times."""
    ratio = _ratio(found)
    if found.state == DriftState.DRIFT:
        return f"drift-{1 + (ratio > 2) + (ratio > 4)}"
    if found.state == DriftState.CERTAIN_SMALL:
        return "small"
    if found.state == DriftState.NO_DRIFT:
        return f"calm-{min(int(ratio * 4), 3)}"
    return "unknown"


def visible(name: str) -> str:
    r"""Return a name with the signs that turn text around, and all signs of one that would not be seen, spelled out.

    >>> visible("age"), visible("\u200b\u3164"), visible("\u202eega")
    ('age', 'U+200B U+3164', '[U+202E]ega')
    """
    unseen = all(unicodedata.category(sign)[0] in "CZM" or sign in "\u115f\u1160\u3164\uffa0\u2800" for sign in name)
    if unseen:
        return " ".join(f"U+{ord(sign):04X}" for sign in name)
    return "".join(f"[U+{ord(sign):04X}]" if sign in _TURNS else sign for sign in name)
