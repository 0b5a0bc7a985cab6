"""A feature's two distributions and its decision -> the page that shows why a window drifted, or did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from seamark.core.distributions import Bin, Distribution, Level
from seamark.core.findings import DriftState, FeatureDrift
from seamark.core.windows import Window, format_duration
from seamark.engine.distributions import Explained
from seamark.web.feature_paths import feature_api_url, feature_url
from seamark.web.page_heat import drift_chip, visible
from seamark.web.page_views import Chip, model_url
from seamark.web.page_words import Moment, known, moment, number, percent, plural

HEIGHT = 200  # of the plot, in pixels
ROOM = 12  # above the highest bar
TICKS = 5
LEVEL_SHOWN = 80  # characters


@dataclass(frozen=True)
class Bar:
    """One bin or level drawn: places across as percentages, heights in pixels from the top."""

    x: str
    width: str
    y: float
    height: float
    left: str
    right: str
    line_y: float
    outer: bool
    words: str


@dataclass(frozen=True)
class BinRow:
    """One bin in figures."""

    values: str
    rows: str
    share: str | None
    reference_rows: str
    reference_share: str | None


@dataclass(frozen=True)
class LevelRow:
    """One level in figures and two bars, each a width as a percentage of the longest."""

    level: str
    whole: str
    blank: bool
    new: bool
    rows: str
    share: str | None
    bar: str | None
    reference_rows: str
    reference_share: str | None
    reference_bar: str | None


@dataclass(frozen=True)
class DistributionPage:
    """The whole page."""

    model: str
    model_url: str
    feature: str
    kind: str
    chip: Chip
    sentence: str
    window: str
    window_start: Moment | None
    window_end: Moment | None
    version: str | None
    judged: str
    facts: tuple[tuple[str, str | None], ...]
    bars: tuple[Bar, ...]
    rising: tuple[tuple[str, float, float], ...]  # the uprights of the reference's outline: place, from, to
    ticks: tuple[tuple[str, str, str], ...]  # place, anchor, label
    shares: tuple[tuple[float, str], ...]  # height, label
    bins: tuple[BinRow, ...]
    levels: tuple[LevelRow, ...]
    other: str | None
    quantiles: tuple[tuple[str, str | None, str | None], ...]
    nothing: str
    notes: tuple[str, ...]
    before_url: str
    after_url: str | None
    newest_url: str
    traces_url: str
    api_url: str


def distribution_page(found: Explained, at: datetime) -> DistributionPage:
    """Return the page of one feature in one window, as of `at`."""
    shown, decision = found.distribution, found.decision
    model, name, window = shown.model, shown.feature, shown.window
    bars = _bars(shown)
    return DistributionPage(
        model=model,
        model_url=model_url(model),
        feature=visible(name),
        kind=shown.kind.replace("_", " "),
        chip=drift_chip(decision.state),
        sentence=sentence(decision),
        window=format_duration(window.span_s),
        window_start=moment(window.start, at),
        window_end=moment(window.end, at),
        version=shown.version,
        judged="as it was judged then" if found.judged_at else "nobody had judged this window: judged now",
        facts=_facts(found, at),
        bars=bars,
        rising=_uprights(bars),
        ticks=_ticks(shown.bins),
        shares=_share_lines(shown),
        bins=_bin_rows(shown),
        levels=_level_rows(shown),
        other=_other(shown),
        quantiles=_quantiles(shown),
        nothing=_nothing(found),
        notes=_notes(found),
        before_url=feature_url(model, name, found.before, shown.version),
        after_url=feature_url(model, name, found.after, shown.version) if found.after else None,
        newest_url=f"{model_url(model)}#drift",
        traces_url=_traces_url(model, window),
        api_url=feature_api_url(model, name, window, shown.version),
    )


# --- the decision in words -------------------------------------------------------------------------------------------

_UNKNOWN = {
    DriftState.TOO_FEW_ROWS: "{rows} here and {reference_rows} in the reference are too few to judge",
    DriftState.NO_REFERENCE: "There is no reference to hold {rows} against",
    DriftState.ALL_NULL: "The feature came without a single value in this window",
    DriftState.NOT_IN_REFERENCE: "The reference lacks this feature, so there is nothing to hold {rows} against",
    DriftState.NOT_IN_WINDOW: "The feature is missing from this window; the reference has {reference_rows} of it",
}


def sentence(decision: FeatureDrift) -> str:
    """Return what was decided and on what, in one sentence or two."""
    rows = plural(decision.rows, "row")
    reference_rows = plural(decision.reference_rows, "row")
    method, score, threshold = decision.method.replace("_", " "), number(decision.score), number(decision.threshold)
    if decision.drifted is None or score is None:
        why = _UNKNOWN.get(decision.state, drift_chip(decision.state).text.capitalize())
        return f"{why.format(rows=rows, reference_rows=reference_rows)}: nothing is claimed."
    held = f"over {rows} against {reference_rows} of the reference"
    chance = _chance(decision.p_value)
    if decision.state == DriftState.DRIFT:
        return f"Drifted: {method} scores {score} {held}, beyond its threshold of {threshold}{chance}."
    if decision.state == DriftState.CERTAIN_SMALL:
        why = f"beyond chance{chance}, but under {threshold}, from which on it would matter"
        return f"Certain, but small: {method} scores {score} {held}, {why}."
    return f"No drift: {method} scores {score} {held}; it would take {threshold} to be one{chance}."


def _chance(p_value: float | None) -> str:
    value = known(p_value)
    if value is None:
        return ""
    return f" (p = {value:.2g})" if value >= 0.001 else " (p < 0.001)"


def _facts(found: Explained, at: datetime) -> tuple[tuple[str, str | None], ...]:
    decision, shown = found.decision, found.distribution
    made = moment(found.reference_created_at, at)
    return (
        ("Method", decision.method.replace("_", " ")),
        ("Score", number(decision.score)),
        ("Threshold", number(decision.threshold)),
        ("p-value", _chance(decision.p_value).strip(" ()").removeprefix("p = ").removeprefix("p ") or None),
        ("Rows", f"{shown.current.present:,} with a value, of {shown.current.rows:,}"),
        (
            "Reference rows",
            f"{shown.reference.present:,} with a value, of {shown.reference.rows:,}" if shown.reference else None,
        ),
        ("Reference", f"{shown.reference_id}, made {made.ago}" if shown.reference_id and made else shown.reference_id),
        ("Version", "all versions" if shown.version is None else shown.version or "no version"),
    )


def _notes(found: Explained) -> tuple[str, ...]:
    shown = found.distribution
    notes = []
    if found.reference_lost:
        held = found.distribution.reference_id
        notes.append(f"What this window was held against ({held}) is not kept as a reference: its side is not shown.")
    if shown.sampled:
        notes.append(f"The counts of the window are of a fixed part of its rows: {shown.current.rows:,}.")
    return tuple(notes)


def _nothing(found: Explained) -> str:
    """Why there is nothing to draw."""
    kind = found.distribution.kind
    if kind not in ("numeric", "categorical", "text"):
        return f"A {kind.replace('_', ' ')} finding is over several columns: it has no bins of its own."
    return f"There are no values to draw: {drift_chip(found.decision.state).text}."


def _traces_url(model: str, window: Window) -> str:
    asked = {"model": model, "start": _iso(window.start), "end": _iso(window.end)}
    return f"/traces?{urlencode(asked, quote_via=quote)}"


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# --- numbers ---------------------------------------------------------------------------------------------------------


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _shares(shown: Distribution) -> list[tuple[float | None, float | None]]:
    before = shown.reference.present if shown.reference else 0
    return [(_share(b.rows, shown.current.present), _share(b.reference_rows, before)) for b in shown.bins]


def _highest(shown: Distribution) -> float:
    return max((share or 0.0 for pair in _shares(shown) for share in pair), default=0.0)


def _y(share: float | None, highest: float) -> float:
    return round(HEIGHT - (HEIGHT - ROOM) * (share or 0.0) / (highest or 1.0), 1)


def _bars(shown: Distribution) -> tuple[Bar, ...]:
    """A slot per bin, all alike in width: the window filled, the reference as an outline over it."""
    slots, highest = len(shown.bins), _highest(shown)
    bars = []
    for place, (one, (now, before)) in enumerate(zip(shown.bins, _shares(shown), strict=True)):
        left, right = 100 * place / slots, 100 * (place + 1) / slots
        gap = min(12 / slots, 0.4)
        y = _y(now, highest)
        bars.append(
            Bar(
                x=f"{left + gap / 2:.3f}%",
                width=f"{right - left - gap:.3f}%",
                y=y,
                height=round(HEIGHT - y, 1),
                left=f"{left:.3f}%",
                right=f"{right:.3f}%",
                line_y=_y(before, highest) if before is not None else -1.0,
                outer=one.outer,
                words=f"{_values(one)}: {percent(now) or 'no rows'} here, {percent(before) or 'none'} in the reference",
            )
        )
    return tuple(bars)


def _uprights(bars: Sequence[Bar]) -> tuple[tuple[str, float, float], ...]:
    if not bars or bars[0].line_y < 0:
        return ()
    heights = [float(HEIGHT), *(bar.line_y for bar in bars), float(HEIGHT)]
    places = [*(bar.left for bar in bars), bars[-1].right]
    return tuple(
        (place, before, after)
        for place, before, after in zip(places, heights, heights[1:], strict=False)
        if before != after
    )


def _ticks(bins: Sequence[Bin]) -> tuple[tuple[str, str, str], ...]:
    """Where bins have a width their edges are named, else the values under their bars; as many as there is room for."""
    if not bins:
        return ()
    slots = len(bins)
    if all(one.low == one.high for one in bins):
        every = -(-slots // (TICKS * 2))
        return tuple(
            (f"{100 * (place + 0.5) / slots:.2f}%", "middle", _figure(one.low))
            for place, one in enumerate(bins)
            if place % every == 0
        )
    edges = [bins[0].low, *(one.high for one in bins)]
    places = sorted({round(step * slots / (TICKS - 1)) for step in range(TICKS)})
    anchors = {0: "start", slots: "end"}
    return tuple((f"{100 * p / slots:.2f}%", anchors.get(p, "middle"), _figure(edges[p])) for p in places)


def _share_lines(shown: Distribution) -> tuple[tuple[float, str], ...]:
    highest = _highest(shown)
    if not highest:
        return ()
    step = next(one for one in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if highest / one <= 4)
    return tuple((_y(step * n, highest), percent(step * n) or "") for n in range(1, int(highest / step + 1e-9) + 1))


def _figure(value: float) -> str:
    """At four significant digits, so that neighbouring edges differ; thousands grouped."""
    if 1_000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1_000 or value == 0 else f"{value:.3g}"


def _values(one: Bin) -> str:
    return _figure(one.low) if one.low == one.high else f"{_figure(one.low)} to {_figure(one.high)}"


def _bin_rows(shown: Distribution) -> tuple[BinRow, ...]:
    return tuple(
        BinRow(_values(one), f"{one.rows:,}", percent(now), f"{one.reference_rows:,}", percent(before))
        for one, (now, before) in zip(shown.bins, _shares(shown), strict=True)
    )


_QUANTILES = {
    "min": "lowest",
    "p05": "5 %",
    "p25": "25 %",
    "p50": "median",
    "p75": "75 %",
    "p95": "95 %",
    "max": "highest",
}


def _quantiles(shown: Distribution) -> tuple[tuple[str, str | None, str | None], ...]:
    now = shown.current.quantiles or {}
    before = (shown.reference.quantiles if shown.reference else None) or {}
    if not now and not before:
        return ()
    names = {**_QUANTILES, "mean": "mean"}
    return tuple(
        (words, _figure(before[name]) if name in before else None, _figure(now[name]) if name in now else None)
        for name, words in names.items()
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def _level_rows(shown: Distribution) -> tuple[LevelRow, ...]:
    before_of = shown.reference.present if shown.reference else 0
    shares = [(_share(one.rows, shown.current.present), _share(one.reference_rows, before_of)) for one in shown.levels]
    longest = max((share or 0.0 for pair in shares for share in pair), default=0.0) or 1.0

    def bar(share: float | None) -> str | None:
        return f"{100 * share / longest:.2f}%" if share is not None else None

    return tuple(
        LevelRow(
            level=text if len(text := _text(one)) <= LEVEL_SHOWN else text[: LEVEL_SHOWN - 1] + "…",
            whole=_text(one),
            blank=not one.level.strip(),
            new=one.new,
            rows=f"{one.rows:,}",
            share=percent(now),
            bar=bar(now),
            reference_rows=f"{one.reference_rows:,}",
            reference_share=percent(before),
            reference_bar=bar(before),
        )
        for one, (now, before) in zip(shown.levels, shares, strict=True)
    )


def _text(one: Level) -> str:
    return visible(one.level) if one.level else "empty text"


def _other(shown: Distribution) -> str | None:
    other = shown.other_levels
    if other is None:
        return None
    words = f"{plural(other.levels, 'more level')} with {plural(other.rows, 'row')} here"
    if shown.reference:
        words += f" and {other.reference_rows:,} in the reference"
    return words + (
        f"; {other.new_levels:,} of them new, with {plural(other.new_rows, 'row')}." if other.new_levels else "."
    )
