"""Plots in SVG: values stand where the axis says, unknown ones break the line, and ticks are round and few."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import pytest

from seamark.delivery.reports import svg


def parsed(plot: svg.Plot) -> ET.Element:
    (picture,) = re.findall(r'<svg role="img".*?</svg>', str(svg.draw(plot)), re.DOTALL)
    return ET.fromstring(picture)


def path_of(plot: svg.Plot) -> str:
    return next(e.attrib["d"] for e in parsed(plot).iter("path") if e.attrib["class"].startswith("line"))


@pytest.mark.parametrize(
    ("values", "ends", "ticks"),
    [
        ([0.0, 300.0], (0, 300), ["0", "100", "200", "300"]),
        ([7.0], (0, 8), ["0", "2", "4", "6", "8"]),
        ([None, float("nan")], (0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([0.0, 0.0], (0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_linear_axes_end_at_round_values(
    values: list[float | None], ends: tuple[float, float], ticks: list[str]
) -> None:
    axis = svg.linear("x", values)
    assert (axis.low, pytest.approx(axis.high)) == ends
    assert [text for _, text in axis.ticks] == ticks


def test_log_axes_hold_all_values_and_each_decade_takes_the_same_room() -> None:
    axis = svg.logarithmic("ms", [0.3, 40.0, 9_000.0, 0.0, None])
    assert axis.low <= 0.3 and axis.high >= 9_000 and axis.log
    shares = [axis.share(value) for value in (1.0, 10.0, 100.0, 1000.0)]
    steps = [b - a for a, b in itertools.pairwise(shares)]
    assert steps == pytest.approx([steps[0]] * 3) and axis.share(0.0) == 0.0
    assert not svg.logarithmic("ms", [0.0]).log, "nothing above zero has no logarithm"
    assert svg.logarithmic("ms", [5.0]).share(5.0) == 0.0


def test_a_wide_span_is_drawn_on_a_log_scale_and_the_title_says_so() -> None:
    assert not svg.either("ms", [10.0, 200.0]).log
    assert svg.either("ms", [10.0, 2000.0]).title == "ms, log scale"


def test_each_nine_takes_the_same_room() -> None:
    axis = svg.percentiles([0.0, 0.9, 0.9999, 1.0])
    assert [text for _, text in axis.ticks] == ["0", "50", "90", "99", "99.9", "99.99"]
    assert axis.share(10.0) == pytest.approx(0.25) and axis.share(1000.0) == pytest.approx(0.75)


def test_points_stand_where_the_axes_say_and_unknown_ones_break_the_line() -> None:
    x, y = svg.Axis("x", 0, 4, []), svg.Axis("y", 0, 10, [])
    line = svg.Line("a", "due", [(0, 0), (1, 10), (2, None), (3, float("nan")), (4, 5)])
    d = path_of(svg.Plot("says", x, y, (line,)))
    width, floor = svg.WIDTH - svg.LEFT - svg.RIGHT, svg.HEIGHT - svg.BOTTOM
    assert d.startswith(f"M{svg.LEFT}.0 {floor}.0L{svg.LEFT + width / 4} {svg.TOP}.0M")
    assert d.count("M") == 2 and d.count("L") == 1


def test_steps_hold_until_the_next_point() -> None:
    x, y = svg.Axis("x", 0, 1, []), svg.Axis("y", 0, 1, [])
    d = path_of(svg.Plot("says", x, y, (svg.Line("a", "due", [(0, 0), (1, 1)], steps=True),)))
    assert d.count("L") == 2


def test_texts_are_escaped_and_marks_say_what_they_are() -> None:
    x, y = svg.linear("<x>", [1.0]), svg.linear('"y"', [1.0])
    marks = [svg.Mark(1, 1, shape, "good", "<b>&") for shape in ("solid", "hollow", "cross")]
    plot = svg.Plot(
        '"><script>', x, y, (svg.Line("<i>", "due", []),), marks, (svg.Rule("<r>", "bad", 1, upright=True),), (0, 1)
    )
    text = str(svg.draw(plot))
    assert "<script>" not in text and "<i>" not in text and "<b>" not in text and "<r>" not in text
    assert [e.text for e in parsed(plot).iter("title")] == ["<b>&"] * 3


def spread_of(points: list[tuple[float, float | None, float | None]]) -> str:
    axis = svg.linear("x", [0.0, 10.0])
    plot = svg.Plot("p", axis, axis, spreads=[svg.Spread("due", points)])
    return next((e.attrib["d"] for e in parsed(plot).iter("path") if e.attrib["class"] == "spread due"), "")


def test_a_spread_is_the_area_between_two_lines_and_interrupted_where_one_is_unknown() -> None:
    left, right, floor, top = svg.LEFT, svg.WIDTH - svg.RIGHT, svg.HEIGHT - svg.BOTTOM, svg.TOP
    assert spread_of([(0.0, 0.0, 10.0), (10.0, 0.0, 10.0)]) == (
        f"M{left:.1f} {top:.1f}L{right:.1f} {top:.1f}L{right:.1f} {floor:.1f}L{left:.1f} {floor:.1f}Z"
    )
    known = [(0.0, 1.0, 2.0), (1.0, 1.0, 2.0)]
    broken = spread_of([*known, (2.0, 1.0, None), (3.0, 1.0, float("inf")), (4.0, 1.0, 2.0), (5.0, 1.0, 2.0)])
    assert broken.count("M") == broken.count("Z") == 2
    assert spread_of([(0.0, 1.0, 2.0), (1.0, None, None)]) == "", "a single point has no area"


def test_a_curve_that_leaves_the_plot_ends_at_its_top() -> None:
    assert svg.upto([(0.0, 2.0), (1.0, None), (2.0, 8.0), (4.0, 12.0), (5.0, 1.0)], 10.0) == [
        (0.0, 2.0),
        (1.0, None),
        (2.0, 8.0),
        (3.0, 10.0),
    ]
    assert svg.upto([(0.0, 50.0), (1.0, 1.0)], 10.0) == []
    assert svg.upto([(0.0, None), (1.0, 50.0)], 10.0) == [(0.0, None)]


def test_a_long_figure_at_the_right_end_is_not_cut_off() -> None:
    axis = svg.logarithmic("x", [1.0, 10_000.0])
    last = [e for e in parsed(svg.Plot("p", axis, axis)).iter("text") if e.text == "10,000"]
    assert {e.attrib["text-anchor"] for e in last} == {"end"}
    assert max(float(e.attrib["x"]) for e in last) <= svg.WIDTH
