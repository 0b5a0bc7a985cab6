"""Spans -> what the trace pages show: a table of requests with bars, and one trace as a waterfall of its spans."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from seamark.core.errors import Invalid
from seamark.core.records import SpanKind, SpanStatus
from seamark.core.windows import Window
from seamark.store.traces import Search, Trace
from seamark.web.asking import instant
from seamark.web.page_views import Chip, model_url
from seamark.web.page_words import Moment, milliseconds, moment, plural
from seamark.wire import traceql
from seamark.wire.spans import STATUS_MESSAGE

SPANS_SHOWN = 1_000
INDENT_MAX = 12  # deeper spans are indented alike
SERIES = 6  # colours; the services after them have none of their own
SERVICES_SHOWN = 8
BAR_MIN = 0.002  # of the whole width: a span that took no time is seen too
VALUE_SHOWN = 4_000  # characters of one attribute
AROUND_S = 86_400.0  # how far from a known instant a trace's spans are looked for

RANGES: dict[str, float] = {"15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0}
SORTS = {"newest": "newest first", "slowest": "slowest first"}
STATUSES = {"": "any", "error": "failed", "ok": "succeeded"}
ROWS_SHOWN = 100


# --- the table of requests -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TraceForm:
    """What the search form holds, as it was written. `start` and `end` come from links and stand instead of `range`."""

    q: str = ""
    model: str = ""
    status: str = ""
    min_ms: str = ""
    sort: str = "newest"
    range: str = "1h"
    start: str = ""
    end: str = ""


@dataclass(frozen=True)
class TraceRow:
    """One request or span that was found. `bar` is its duration against the longest, as a width."""

    url: str
    name: str
    trace_id: str
    model: str
    model_url: str
    service: str
    version: str
    chip: Chip
    at: Moment | None
    duration: str
    bar: str
    synthetic: bool


def search_of(form: TraceForm, at: datetime, model: str | None) -> Search:
    """Return what a form asks for, as of `at`; Invalid where a field makes no sense. `model`: see it alone."""
    for name, value, allowed in (
        ("Outcome", form.status, STATUSES),
        ("Order", form.sort, SORTS),
        ("Last", form.range, RANGES),
    ):
        if value not in allowed:
            raise Invalid(f"{name}: {value[:40]!r} is not one of {', '.join(word or 'nothing' for word in allowed)}")
    try:
        min_ms = float(form.min_ms or 0)
    except ValueError:
        min_ms = math.nan
    if not 0 <= min_ms < math.inf:
        raise Invalid(f"At least: {form.min_ms[:40]!r} is no number of milliseconds")
    return Search(
        window=_window(form, at),
        model=model,
        condition=traceql.parse(form.q) if form.q else traceql.EVERYTHING,
        min_ms=min_ms or None,
        status=form.status or None,
        requests_only=not form.q,
        slowest=form.sort == "slowest",
    )


def _window(form: TraceForm, at: datetime) -> Window:
    if not form.start:
        return Window.trailing(at, RANGES[form.range])
    start, end = instant("start", form.start, at), instant("end", form.end, at)
    if start >= end:
        raise Invalid(f"start: {form.start[:40]!r} is not before the end")
    return Window(start, end)


def trace_rows(found: Sequence[Mapping[str, Any]], at: datetime) -> list[TraceRow]:
    """Return rows of store.traces.find() for the table, in their order."""
    longest = max((row["duration_ms"] for row in found), default=0.0) or 1.0
    return [
        TraceRow(
            url=trace_url(row["trace_id"], row["start_at"], row["span_id"]),
            name=row["name"] or "(no name)",
            trace_id=row["trace_id"],
            model=row["model"],
            model_url=model_url(row["model"]),
            service=row["service"],
            version=row["version"],
            chip=_outcome(failed=row["failed"], http_status=row["http_status"]),
            at=moment(row["start_at"], at),
            duration=milliseconds(row["duration_ms"]) or "0 ms",
            bar=_width(row["duration_ms"] / longest),
            synthetic=row["synthetic"],
        )
        for row in found
    ]


def trace_url(trace_id: str, at: datetime | None = None, span_id: str = "") -> str:
    """The path of a trace's page; an instant near it makes it quick to find."""
    known = f"?{urlencode({'at': at.astimezone(UTC).isoformat().replace('+00:00', 'Z')})}" if at else ""
    return f"/traces/{trace_id}{known}" + (f"#span-{span_id}" if span_id else "")


def _outcome(*, failed: bool, http_status: int | None) -> Chip:
    word = "Failed" if failed else "OK"
    return Chip("bad" if failed else "good", f"{word} {http_status}" if http_status else word)


# --- the waterfall -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpanBar:
    """One span of a waterfall, where it lies (`x`, `width`) and what it says. `level` counts from 1.

    `lost` says that its parent is not there, None that it is, or that the span has none.
    """

    id: str
    name: str
    service: str
    series: str  # the class of its colour
    level: int
    indent: int
    failed: bool
    x: str
    width: str
    duration: str
    lost: str | None
    facts: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...]
    resource: tuple[tuple[str, str], ...]
    events: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]  # name, when, attributes
    links: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]  # url, trace id, attributes


@dataclass(frozen=True)
class TracePage:
    """One trace. `cut` says in a sentence what is not shown, None where all of it is."""

    trace_id: str
    title: str
    chip: Chip
    at: Moment | None
    duration: str
    summary: str
    services: tuple[tuple[str, str, str], ...]  # name, class of its colour, its spans in words
    services_left_out: int
    ticks: tuple[tuple[str, str, str], ...]  # x, anchor, label
    spans: tuple[SpanBar, ...]
    cut: str | None


def trace_page(found: Trace, at: datetime) -> TracePage:
    """Return a trace that has spans as its page shows it."""
    rows = found.spans
    start = min(row["start_at"] for row in rows)
    length_ns = max((_offset_ns(row, start) + row["duration_ns"] for row in rows), default=0) or 1
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["service"]] = counts.get(row["service"], 0) + 1
    series = {service: f"s{place}" if place < SERIES else "sx" for place, service in enumerate(counts)}
    ordered = _ordered(rows)
    top = ordered[0][0]
    failed = sum(row["status"] == SpanStatus.ERROR or row["failed"] for row in rows)
    told = [plural(found.total, "span"), plural(len(counts), "service")]
    told += [f"{failed:,} failed"] if failed else []
    return TracePage(
        trace_id=top["trace_id"],
        title=top["name"] or "(no name)",
        chip=Chip("bad", "Failed")
        if top["failed"]
        else Chip("warn", "Failed inside")
        if failed
        else Chip("good", "OK"),
        at=moment(start, at),
        duration=milliseconds(length_ns / 1e6) or "0 ms",
        summary=" · ".join(told),
        services=tuple(
            (name, series[name], plural(count, "span")) for name, count in list(counts.items())[:SERVICES_SHOWN]
        ),
        services_left_out=max(0, len(counts) - SERVICES_SHOWN),
        ticks=_ticks(length_ns),
        spans=tuple(_bar(row, level, lost, series, start, length_ns) for row, level, lost in ordered[:SPANS_SHOWN]),
        cut=_cut(found),
    )


def _cut(found: Trace) -> str | None:
    shown = min(len(found.spans), SPANS_SHOWN)
    if shown == found.total:
        return None
    more = f"; the API gives the first {len(found.spans):,}" if len(found.spans) > shown else ""
    return f"This trace has {found.total:,} spans. The first {shown:,} are shown{more}."


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int, str | None]]:
    """Return (span, level, what is wrong with its parent) so that children follow their parent, by start."""
    known = {row["span_id"] for row in rows}
    children: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        parent = row["parent_span_id"]
        children.setdefault(parent if parent in known else None, []).append(row)
    out: list[tuple[Mapping[str, Any], int, str | None]] = []
    seen: set[str] = set()
    # Spans whose parents go round in a circle hang from no root: they are told last.
    for begin in [*children.get(None, []), *rows]:
        waiting = [(begin, 1)]
        while waiting:
            row, level = waiting.pop()
            if row["span_id"] in seen:
                continue
            seen.add(row["span_id"])
            out.append((row, level, _lost(row, known) if level == 1 else None))
            waiting += [(child, level + 1) for child in reversed(children.get(row["span_id"], []))]
    return out


def _lost(row: Mapping[str, Any], known: set[str]) -> str | None:
    parent = row["parent_span_id"]
    if parent is None:
        return None
    return f"parent {parent} goes round in a circle" if parent in known else f"parent {parent} was not received"


def _bar(
    row: Mapping[str, Any], level: int, lost: str | None, series: Mapping[str, str], start: datetime, length_ns: int
) -> SpanBar:
    begins, lasts = _offset_ns(row, start) / length_ns, row["duration_ns"] / length_ns
    attributes = dict(row["attributes"] or {})
    message = attributes.get(STATUS_MESSAGE)
    status = SpanStatus(row["status"]).name.lower() + (f": {_text(message)}" if message else "")
    facts = [
        ("Span", row["span_id"]),
        ("Parent", row["parent_span_id"] or "none"),
        ("Began", f"{milliseconds(_offset_ns(row, start) / 1e6)} after the first"),
        ("Kind", SpanKind(row["kind"]).name.lower()),
        ("Status", status),
        ("Model", f"{row['model']} {row['version']}".strip()),
        ("Instance", row["instance"]),
        ("Scope", row["scope"]),
    ]
    return SpanBar(
        id=row["span_id"],
        name=row["name"] or "(no name)",
        service=row["service"],
        series=series[row["service"]],
        level=level,
        indent=min(level - 1, INDENT_MAX),
        failed=row["failed"] or row["status"] == SpanStatus.ERROR,
        x=_width(begins),
        width=_width(max(lasts, BAR_MIN)),
        duration=milliseconds(row["duration_ns"] / 1e6) or "0 ms",
        lost=lost,
        facts=tuple((name, value) for name, value in facts if value),
        attributes=_pairs(attributes),
        resource=_pairs(row["resource"]),
        events=tuple(_event(event, start) for event in row["events"] or ()),
        links=tuple(
            (trace_url(link["trace_id"]), link["trace_id"], _pairs(link.get("attributes")))
            for link in row["links"] or ()
            if "trace_id" in link
        ),
    )


def _event(event: Mapping[str, Any], start: datetime) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    at = event.get("at")
    after = (datetime.fromisoformat(at) - start) / timedelta(milliseconds=1) if at else None
    when = "" if after is None else f"{milliseconds(abs(after))} {'after' if after >= 0 else 'before'} the first"
    told = event.get("attributes") or {name: event[name] for name in ("count",) if name in event}
    return event["name"], when, _pairs(told)


def _pairs(attributes: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(value)) for name, value in sorted((attributes or {}).items()))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_SHOWN else f"{text[:VALUE_SHOWN]}… ({len(text):,} characters)"


def _offset_ns(row: Mapping[str, Any], start: datetime) -> int:
    return int((row["start_at"] - start) / timedelta(microseconds=1)) * 1000


def _ticks(length_ns: int) -> tuple[tuple[str, str, str], ...]:
    anchors = {0.0: "start", 1.0: "end"}
    parts = (0.0, 0.25, 0.5, 0.75, 1.0)
    return tuple((_width(p), anchors.get(p, "middle"), milliseconds(p * length_ns / 1e6) or "0 ms") for p in parts)


def _width(ratio: float) -> str:
    return f"{min(max(ratio, 0.0), 1.0) * 100:.3f}%"
