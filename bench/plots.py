"""Series of points -> a small SVG of panels side by side, for the documents: no drawing library is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log10
from xml.sax.saxutils import escape

COLOURS = ("#0b6e4f", "#c1440e", "#3a5a9b", "#8a6d1b", "#6b4c8a")
_PANEL_W, _PANEL_H = 400, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 26, 34, 48
_LEGEND_H = 26


@dataclass(frozen=True)
class Panel:
    """One pair of axes: `lines` by name, `bars` with their x, low and high, a `dashed` level with a word to it."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    x_log: bool = False
    y_log: bool = False
    y_range: tuple[float, float] = (0.0, 1.0)
    dashed: tuple[float, str] | None = None
    bars: Mapping[str, Sequence[tuple[float, float, float]]] = field(default_factory=dict)


def svg(panels: Sequence[Panel]) -> str:
    """Return the drawing. A name has one colour in all panels; what is below a logarithmic axis lies at its foot."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    width, height = _PANEL_W * len(panels), _PANEL_H + _LEGEND_H
    look = 'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222"'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for n, panel in enumerate(panels):
        parts += [f'<g transform="translate({n * _PANEL_W},0)">', *_panel(panel, colours), "</g>"]
    step = width / max(len(names), 1)
    for n, name in enumerate(names):
        x, y = 20 + n * step, _PANEL_H + 14
        parts.append(f'<path d="M{x:.0f} {y - 4}h22" stroke="{colours[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28:.0f}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, colours: Mapping[str, str]) -> list[str]:
    xs = sorted({x for line in panel.lines.values() for x, _ in line})
    low, high = (xs[0], xs[-1]) if xs else (0.0, 1.0)
    right, foot = _PANEL_W - _RIGHT, _PANEL_H - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + _part(x, low, high, log=panel.x_log) * (right - _LEFT)

    def up(y: float) -> float:
        return foot - _part(y, *panel.y_range, log=panel.y_log) * (foot - _TOP)

    parts = [
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{(right + _LEFT) / 2:.0f}" y="{_PANEL_H - 10}" text-anchor="middle">{escape(panel.x)}</text>',
    ]
    turned = f'transform="translate(14,{(foot + _TOP) / 2:.0f}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(panel.y)}</text>")
    for y in _ticks(*panel.y_range, log=panel.y_log):
        parts.append(f'<path d="M{_LEFT} {up(y):.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{_label(y)}</text>')
    for x in xs if panel.x_log else _ticks(low, high, log=False):
        parts.append(f'<path d="M{across(x):.1f} {foot}v4" stroke="#888"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{foot + 17}" text-anchor="middle">{_label(x, share=False)}</text>')
    if panel.dashed:
        at, word = panel.dashed
        parts.append(f'<path d="M{_LEFT} {up(at):.1f}H{right}" stroke="#222" stroke-dasharray="5 4"/>')
        parts.append(f'<text x="{right - 4}" y="{up(at) - 5:.1f}" text-anchor="end">{escape(word)}</text>')
    for name, intervals in panel.bars.items():
        for x, least, most in intervals:
            bar = f"M{across(x):.1f} {up(least):.1f}V{up(most):.1f}"
            parts.append(f'<path d="{bar}" stroke="{colours[name]}" stroke-width="1.2"/>')
    for name, line in panel.lines.items():
        points = [f"{across(x):.1f} {up(y):.1f}" for x, y in line]
        parts.append(f'<path d="M{" L".join(points)}" fill="none" stroke="{colours[name]}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{p.split()[0]}" cy="{p.split()[1]}" r="3" fill="{colours[name]}"/>' for p in points]
    return parts


def _part(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = log10(max(value, low)), log10(low), log10(high)
    return min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    if log:
        return [10.0**power for power in range(round(log10(low)), round(log10(high)) + 1)]
    return [low + (high - low) * n / 5 for n in range(6)]


def _label(value: float, *, share: bool = True) -> str:
    if share:
        return f"{value * 100:.3g} %"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
