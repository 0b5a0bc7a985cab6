"""Numbers, times and states -> the words a page shows; what is unknown stays None, so that no page writes 0 for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seamark.core.figures import figure
from seamark.core.windows import format_duration


def known(value: float | None) -> float | None:
    """Return a finite number, or None for unknown, not-a-number and infinity.

    >>> known(float("nan")) is None, known(0.0)
    (True, 0.0)
    """
    return None if value is None or not math.isfinite(value) else float(value)


def number(value: float | None) -> str | None:
    """Return a number at the precision a reader can use: at most three significant digits, thousands grouped.

    >>> number(0), number(0.0412), number(4.26), number(42.34), number(1234.5), number(25_400_000)
    ('0', '0.0412', '4.26', '42.3', '1,234', '25,400,000')
    """
    value = known(value)
    if value is None:
        return None
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value != 0 and abs(value) < 0.001:
        return figure(value, 2)
    return f"{value:.3g}" if abs(value) < 99.95 else f"{value:.0f}"


def rate(value: float | None) -> str | None:
    """Return requests per second without its unit; a rate that is not zero never reads as zero.

    >>> rate(0.0), rate(0.003), rate(4.26), rate(42.34), rate(1234.5)
    ('0', '<0.01', '4.3', '42', '1,234')
    """
    value = known(value)
    if value is None:
        return None
    if 0 < value < 0.01:
        return "<0.01"
    if value == 0 or abs(value) >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def milliseconds(value: float | None) -> str | None:
    """Return a latency with its unit.

    >>> milliseconds(0.42), milliseconds(7.26), milliseconds(843.2), milliseconds(12_345)
    ('0.42 ms', '7.3 ms', '843 ms', '12.3 s')
    """
    value = known(value)
    if value is None:
        return None
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    if value >= 99.5 or value == 0:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms" if value >= 0.95 else f"{value:.2g} ms"


def percent(ratio: float | None) -> str | None:
    """Return a ratio as a percentage; nearly all never reads as all, nearly nothing never as nothing.

    >>> percent(0.0), percent(0.00001), percent(0.0042), percent(0.563), percent(0.99996), percent(1.0), percent(-0.42)
    ('0 %', '<0.01 %', '0.42 %', '56.3 %', '>99.99 %', '100 %', '−42 %')
    """
    ratio = known(ratio)
    if ratio is None:
        return None
    if ratio < 0:
        return f"−{percent(-ratio)}"
    value = ratio * 100
    if 0 < value < 0.01:
        return "<0.01 %"
    if 99.99 < value < 100:
        return ">99.99 %"
    places = 2 if value < 1 or 99 < value < 100 else 1
    return f"{_plain(value, places) if value < 100 else _plain(value, 0)} %"


def whole_percent(ratio: float | None) -> str | None:
    """Return a percentage for big type: whole, but never 0 or 100 unless it is so.

    >>> whole_percent(0.563), whole_percent(0.004), whole_percent(0.999), whole_percent(-0.421), whole_percent(-0.001)
    ('56 %', '<1 %', '>99 %', '−42 %', '−<1 %')
    """
    ratio = known(ratio)
    if ratio is None:
        return None
    if ratio < 0:
        return f"−{whole_percent(-ratio)}"
    if 0 < ratio < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < ratio < 1 else f"{ratio * 100:.0f} %"


def _plain(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: float) -> str:
    """Return a length of time in its largest unit.

    >>> span(0.4), span(44), span(600), span(5400), span(200_000)
    ('0 s', '44 s', '10 min', '1.5 h', '2 d')
    """
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{_plain(seconds / 3600, 1)} h"
    return f"{seconds / 86400:.0f} d"


@dataclass(frozen=True)
class Moment:
    """An instant for people: `iso` for machines, `clock` in UTC, `ago` relative to the page's own instant."""

    iso: str
    clock: str
    ago: str


def moment(instant: datetime | None, at: datetime) -> Moment | None:
    """Return an instant as seen from `at`.

    >>> from datetime import UTC
    >>> moment(datetime(2025, 3, 1, 12, 0, tzinfo=UTC), datetime(2025, 3, 1, 12, 14, tzinfo=UTC)).ago
    '14 min ago'
    """
    if instant is None:
        return None
    away_s = (at - instant).total_seconds()
    ago = f"{span(away_s)} ago" if away_s >= 0 else f"in {span(-away_s)}"
    pattern = "%H:%M:%S" if instant.date() == at.date() else "%Y-%m-%d %H:%M"
    return Moment(instant.isoformat().replace("+00:00", "Z"), instant.strftime(pattern), ago)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "replica"), plural(2, "replica"), plural(0, "reply", "replies")
    ('1 replica', '2 replicas', '0 replies')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: list[str], shown: int = 3) -> str:
    """Return the first names and how many more there are.

    >>> listed(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    head = names[:shown]
    return ", ".join(head) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def parameters(values: Mapping[str, Any]) -> str:
    """Return a shape's parameters on one line; durations (`_s`) as people write them.

    >>> parameters({"rate_rps": 20, "duration_s": 90.0})
    'rate 20/s · duration 1m30s'
    >>> parameters({"count": 20, "spawn_per_s": 5})
    'count 20 · spawn 5/s'
    """
    return " · ".join(_parameter(name, value) for name, value in values.items())


def _parameter(name: str, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if name.endswith("_rps"):
            return f"{name.removesuffix('_rps')} {number(value)}/s".replace("_", " ")
        if name.endswith("_per_s"):
            return f"{name.removesuffix('_per_s')} {number(value)}/s".replace("_", " ")
        if name.endswith("_s"):
            return f"{name.removesuffix('_s')} {format_duration(float(value))}".replace("_", " ")
        return f"{name} {number(value)}".replace("_", " ")
    text = str(value)
    return f"{name} {text if len(text) <= 80 else text[:79] + '…'}".replace("_", " ")
