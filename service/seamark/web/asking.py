"""What a request asks for: services, instants, durations; a refusal names the parameter and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from fastapi import Request

from seamark.core.errors import Invalid, Problem
from seamark.core.specs import DriftSpec
from seamark.core.windows import Window, parse_duration
from seamark.engine.services import Services

POINTS_MAX = 2_000
SEGMENTS_MAX = 10
SEGMENT_LENGTH_MAX = 256


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


def instant(name: str, text: str | None, default: datetime) -> datetime:
    """Return an instant written as RFC 3339 or epoch seconds, or the default."""
    if not text:
        return default
    try:
        at = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise _wrong(name, text, "write RFC 3339 (2026-01-31T12:00:00Z) or epoch seconds") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    if not 1970 < at.year < 2262:  # what 64 bits of nanoseconds can tell, and windows stay inside of
        raise _wrong(name, text, "write an instant between the years 1971 and 2261")
    return at.astimezone(UTC)


def duration_s(
    name: str, text: str | None, default_s: float, *, least_s: float = 1.0, most_s: float = 400 * 86400.0
) -> float:
    """Return seconds written like 30s, 5m, 1h30m or as a bare number, or the default."""
    if not text:
        return default_s
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except ValueError as error:
        raise _wrong(name, text, str(error)) from None
    if not least_s <= seconds <= most_s:
        raise _wrong(name, text, f"write a duration from {least_s:g} s to {most_s:g} s")
    return seconds


def window(services: Services, start: str | None, end: str | None, default_s: float) -> Window:
    """Return the window from `start` to `end`; by default the last `default_s` seconds."""
    until = instant("end", end, services.clock.now())
    since = instant("start", start, until - timedelta(seconds=default_s))
    if since >= until:
        raise _wrong("start", start or "", "write an instant before end")
    return Window(since, until)


def drift_window(services: Services, model: str, at: str | None, span: str | None) -> Window:
    """Return the window that ends at `at`, now by default; as long as `span`, else as the model's drift is watched."""
    spec = services.configuration.model(model)
    default_s = (spec.drift if spec and spec.drift else DriftSpec()).window_s
    return Window.trailing(instant("at", at, services.clock.now()), duration_s("window", span, default_s))


def segments_of(texts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return segments written as `label:value`, or as a JSON object where a label holds a colon.

    >>> segments_of(["country:de", '{"a:b": "c", "tier": 1}'])
    (('a:b', 'c'), ('country', 'de'), ('tier', '1'))
    """
    found: list[tuple[str, str]] = []
    for text in texts or ():
        label, colon, value = text.partition(":")
        if text.startswith("{"):
            found += _written(text)
        elif not colon or not label:
            raise _wrong("segment", text, "write label:value, like country:de")
        else:
            found.append((label, value))
    if len(found) > SEGMENTS_MAX or any(len(part) > SEGMENT_LENGTH_MAX for pair in found for part in pair):
        told = f"at most {SEGMENTS_MAX} are taken, of {SEGMENT_LENGTH_MAX} characters each"
        raise _wrong("segment", f"{len(found)} labels", told)
    return tuple(sorted(found))


def _written(text: str) -> list[tuple[str, str]]:
    try:
        labels = msgspec.json.decode(text, type=dict[str, str | bool | int | float])
    except (msgspec.MsgspecError, RecursionError):
        raise _wrong("segment", text, 'write label:value, or an object like {"a:b": "c"}') from None
    words = {True: "true", False: "false"}
    return [(label, words[value] if isinstance(value, bool) else str(value)) for label, value in labels.items()]


def points_at_most(limit: int, step: float, asked: Window) -> float:
    """Return the step where it makes at most `limit` points of the window."""
    if asked.span_s / step > limit:
        raise _wrong("step", f"{step:g}", f"it would make {asked.span_s / step:.0f} points; at most {limit} are given")
    return step


def step_s(text: str | None, asked: Window) -> float:
    """Return the step of a series: as asked, or so that about 120 points come; more than 2,000 points are refused."""
    step = duration_s("step", text, _pleasant(asked.span_s / 120))
    if asked.span_s / step > POINTS_MAX:
        raise _wrong(
            "step", text or "", f"it would make {asked.span_s / step:.0f} points; at most {POINTS_MAX} are given"
        )
    return step


def among(name: str, text: str | None, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the comma-separated words, each of which must be allowed."""
    words = tuple(word.strip() for word in (text or "").split(",") if word.strip())
    for word in words:
        if word not in allowed:
            raise _wrong(name, word, f"known are {', '.join(allowed)}")
    return words


def _pleasant(seconds: float) -> float:
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    return float(next((step for step in steps if step >= seconds), steps[-1]))


def _wrong(name: str, value: str, right: str) -> Invalid:
    message = f"parameter {name}={value[:100]!r} is not usable: {right}"
    return Invalid(message, [Problem(name, f"{value[:100]!r}: {right}")])
