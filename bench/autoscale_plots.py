"""Backtests -> SVG plots that can be read in light and dark, and a document's section with them and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from bench.report import table
from seamark.compute.backtest.judge import Courses
from seamark.core.backtest import Backtest, FloatArray, Played

# Colours that stand out from white and from near-black alike; shapes for those who do not tell colours apart.
_LOOKS = {
    "seamark": ("#0f9d6b", "circle"),
    "hpa": ("#d9622b", "square"),
    "keda_1m": ("#5b7fd1", "up"),
    "keda_2m": ("#5b7fd1", "down"),
    "aws_predictive": ("#a578c4", "diamond"),
    "static_peak": ("#8f8f8f", "square"),
    "oracle": ("#8f8f8f", "circle"),
}
_DAY_SHOWN = ("hpa", "keda_1m", "seamark")
_STYLE = (
    "<style>.g{fill:#ffffff}.t{fill:#222222}.r{stroke:#dddddd}.n{fill:#bdbdbd}"
    "@media (prefers-color-scheme:dark){.g{fill:#14171a}.t{fill:#e4e4e4}.r{stroke:#3a3f44}.n{fill:#5a5f66}}</style>"
)
_W, _H, _LEFT, _RIGHT, _TOP, _FOOT = 440, 300, 56, 16, 34, 252
_TICKS_BROKEN = (0.0, 0.1, 1.0, 10.0, 100.0, 1000.0)  # violation minutes a day
_TICKS_OVER = (0.8, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_DAY_S, _POINT_S = 86_400.0, 120.0


@dataclass(frozen=True)
class Shown:
    """One trace with one cold start."""

    trace: str
    found: Backtest
    courses: Courses


def write(folder: Path, shown: Sequence[Shown]) -> None:
    """Draw each trace's pairs, a panel per cold start, and a day of replicas beside the need, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for trace, group in groupby(shown, key=lambda one: one.trace):
        of_trace = list(group)
        (folder / f"autoscale-{trace}-pairs.svg").write_text(pairs(of_trace))
        (folder / f"autoscale-{trace}-day.svg").write_text(day(of_trace[0]))


def section(shown: Sequence[Shown], rows: Sequence[Mapping[str, Any]], folder: str) -> str:
    """Return the Markdown: of each trace its plots and its table."""
    parts = []
    for trace, group in groupby(shown, key=lambda one: one.trace):
        one = next(group)
        how = {"fluid": "as a liquid", "requests": "request by request"}[one.found.simulator]
        own = [{name: cell for name, cell in row.items() if name != "trace"} for row in rows if row["trace"] == trace]
        parts += [
            f"### {trace}",
            f"{one.found.days:.3g} days, played {how}, 20 replicas at the mean load.",
            f"![{trace}: what policies cost and break]({folder}/autoscale-{trace}-pairs.svg)",
            f"![{trace}: replicas of three policies beside what is needed]({folder}/autoscale-{trace}-day.svg)",
            table(own),
        ]
    return "\n\n".join(parts)


def pairs(of_trace: Sequence[Shown]) -> str:
    """Return a panel per cold start: across what a policy costs, up what it breaks; lower left is better."""
    parts = []
    most = max(policy.replica_hours_over_oracle for one in of_trace for policy in one.found.policies)
    least = min(policy.replica_hours_over_oracle for one in of_trace for policy in one.found.policies)
    worst = max(policy.violation_minutes_per_day for one in of_trace for policy in one.found.policies)
    across = _Scale(log10(least * 0.97), log10(most * 1.04), _LEFT, _W - _RIGHT)
    up = _Scale(0.0, _squeezed(max(worst, 1.0) * 1.5), _FOOT, _TOP)
    for place, one in enumerate(of_trace):
        parts.append(f'<g transform="translate({place * _W},0)">')
        parts.append(_text(_LEFT, 18, f"{one.trace}, cold start {one.found.fleet.cold_start_s:g} s", bold=True))
        parts += [_grid_line(up.at(_squeezed(tick)), f"{tick:g}") for tick in _TICKS_BROKEN if tick <= worst * 1.5 + 1]
        for tick in _TICKS_OVER:
            if least * 0.97 <= tick <= most * 1.04:
                x = across.at(log10(tick))
                parts.append(f'<path class="r" d="M{x:.1f} {_TOP}V{_FOOT}"/>')
                parts.append(_text(x, _FOOT + 16, f"{tick:g}", "middle"))
        parts += [_mark(policy, across, up) for policy in one.found.policies]
        parts.append(_text((_LEFT + _W) / 2, _FOOT + 34, "replica-hours, times the oracle's", "middle"))
        parts.append(_turned("violation min/day"))
        parts.append("</g>")
    names = [policy.name for policy in of_trace[0].found.policies]
    return _drawing(_W * len(of_trace), parts, names)


def day(one: Shown) -> str:
    """Return the replicas paid for by three policies in the middle day of a trace, and the need as an area."""
    fleet, ticks = one.found.fleet, len(one.courses.rates)
    a_day = round(_DAY_S / fleet.tick_s)
    first = (ticks // a_day // 2) * a_day
    part = slice(first, min(first + a_day, ticks))
    width = 2 * _W
    stride = max(round(_POINT_S / fleet.tick_s), 1) if part.stop - part.start > a_day // 2 else 1
    need = _most(one.courses.rates[part] / fleet.capacity_rps, stride)
    lines = {name: _most(one.courses.by_policy[name].paid[part].astype(np.float64), stride) for name in _DAY_SHOWN}
    top = max(float(need.max()), *(float(line.max()) for line in lines.values()))
    hours = (part.stop - part.start) * fleet.tick_s / 3600
    across, up = _Scale(0.0, float(len(need)), _LEFT, width - _RIGHT), _Scale(0.0, top * 1.05, _FOOT, _TOP)
    which = f", day {first // a_day + 1}" if ticks > a_day else ""
    title = f"{one.trace}, cold start {fleet.cold_start_s:g} s: replicas paid for{which}"
    parts = [_text(_LEFT, 18, title, bold=True)]
    step = _pleasant(top / 5)
    parts += [_grid_line(up.at(n * step), f"{n * step:g}", width) for n in range(ceil(top * 1.05 / step))]
    area = " ".join(f"L{across.at(n):.1f} {up.at(value):.1f}" for n, value in enumerate(need))
    parts.append(f'<path class="n" d="M{_LEFT} {_FOOT} {area} L{across.at(len(need) - 1):.1f} {_FOOT}Z"/>')
    for name, line in lines.items():
        steps = f"M{_LEFT} {up.at(line[0]):.1f}" + "".join(
            f"H{across.at(n):.1f}V{up.at(line[n]):.1f}" for n in range(1, len(line)) if line[n] != line[n - 1]
        )
        path = f'd="{steps}H{across.at(len(line)):.1f}"'
        parts.append(f'<path {path} fill="none" stroke="{_LOOKS[name][0]}" stroke-width="1.8"/>')
    for share in range(5):
        x, at_h = _LEFT + (width - _RIGHT - _LEFT) * share / 4, hours * share / 4
        words = f"{at_h:.3g} h" if hours > 2 else f"{at_h * 60:.0f} min"
        parts.append(_text(x, _FOOT + 16, words, "end" if share == 4 else "middle"))
    parts.append(_turned("replicas"))
    return _drawing(width, parts, _DAY_SHOWN, "grey: what the load needs")


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


def _squeezed(minutes: float) -> float:
    """A log scale that has a 0: below a tenth of a minute it is linear."""
    return log10(1 + minutes / 0.1)


def _most(values: FloatArray, stride: int) -> FloatArray:
    padded = np.concatenate((values, np.full(-len(values) % stride, values[-1])))
    return np.asarray(padded.reshape(-1, stride).max(axis=1))


def _pleasant(step: float) -> float:
    return next((size for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if size >= step), 5000)


def _mark(policy: Played, across: _Scale, up: _Scale) -> str:
    x = across.at(log10(policy.replica_hours_over_oracle))
    y = up.at(_squeezed(policy.violation_minutes_per_day))
    told = (
        f"{policy.name}: {policy.replica_hours_over_oracle:.3f} times the oracle's, "
        f"{policy.violation_minutes_per_day:.2f} min/day"
    )
    return f"<g>{_shape(policy.name, x, y)}<title>{escape(told)}</title></g>"


def _shape(name: str, x: float, y: float) -> str:
    colour, shape = _LOOKS[name]
    fill = 'fill="none" stroke-width="2"' if name == "oracle" else f'fill="{colour}" fill-opacity="0.85"'
    look = f'{fill} stroke="{colour}"'
    outline = {
        "square": f"M{x - 5:.1f} {y - 5:.1f}h10v10h-10Z",
        "up": f"M{x:.1f} {y - 6:.1f}l6 11h-12Z",
        "down": f"M{x:.1f} {y + 6:.1f}l6 -11h-12Z",
        "diamond": f"M{x:.1f} {y - 7:.1f}l6 7l-6 7l-6 -7Z",
    }
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" {look}/>'
    return f'<path d="{outline[shape]}" {look}/>'


def _text(x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text class="t" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def _turned(words: str) -> str:
    middle = (_TOP + _FOOT) / 2
    return f'<text class="t" transform="translate(14,{middle:.0f}) rotate(-90)" text-anchor="middle">{words}</text>'


def _grid_line(y: float, words: str, width: int = _W) -> str:
    return f'<path class="r" d="M{_LEFT} {y:.1f}H{width - _RIGHT}"/>' + _text(_LEFT - 6, y + 4, words, "end")


def _drawing(width: int, parts: Sequence[str], names: Sequence[str], more: str = "") -> str:
    height = _H + 24
    step = (width - 40) / (len(names) + bool(more) * 1.5)
    legend = []
    for place, name in enumerate(names):
        x = 24 + place * step
        legend += [_shape(name, x, height - 14), _text(x + 12, height - 10, name)]
    if more:
        legend.append(_text(24 + len(names) * step, height - 10, more))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif" font-size="12">'
    ground = f'<rect class="g" width="{width}" height="{height}"/>'
    return "\n".join([head, _STYLE, ground, *parts, *legend, "</svg>"]) + "\n"
