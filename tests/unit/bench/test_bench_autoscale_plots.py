"""Plots of backtests are drawings that any reader opens, in light and dark; a section replaces its own text alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from bench import autoscale_plots, document
from bench.autoscale_plots import Shown

from seamark.compute.backtest.judge import Courses, judged
from seamark.compute.backtest.play import Course
from seamark.compute.backtest.policies import POLICIES
from seamark.core.backtest import Fleet


def shown(cold_start_s: float, ticks: int) -> Shown:
    """Fleets of different sizes, of which the smallest waits half of the time."""
    courses = {}
    for size, name in enumerate(POLICIES, 10):
        fixed = np.full(ticks, size)
        waits = np.where(np.arange(ticks) % 2, 9.0 if size == 10 else 0.0, 0.0)
        courses[name] = Course(fixed, fixed, waits, np.zeros(ticks, np.bool_))
    fleet = Fleet(1.0, cold_start_s)
    played = Courses("fluid", np.full(ticks, 9.0), np.ones(ticks, np.bool_), courses)
    return Shown("a<b", judged(played, fleet), played)


@pytest.mark.parametrize("ticks", [40, 3 * 5760])
def test_both_drawings_are_well_formed_and_show_each_policy(ticks: int) -> None:
    both = [shown(60.0, ticks), shown(180.0, ticks)]
    pairs = ET.fromstring(autoscale_plots.pairs(both))
    told = [one.text or "" for one in pairs.iter() if one.tag.endswith("title")]
    assert len(told) == 2 * len(POLICIES) and "seamark: 0.625 times the oracle's, 720.00 min/day" in told
    day = autoscale_plots.day(both[0])
    assert "a&lt;b, cold start 60 s: replicas paid for" in day and ("day 2" in day) == (ticks > 5760)
    assert "nan" not in day and "prefers-color-scheme:dark" in day
    ET.fromstring(day)


def test_a_section_is_put_between_its_markers_and_nothing_else_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text(
        "# B\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n<!-- a: begin -->\nold\n<!-- a: end -->\nend\n"
    )
    document.put(path, "a", "new\n")
    document.put(path, "a", "newer\n")
    assert path.read_text() == (
        "# B\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n<!-- a: begin -->\n\nnewer\n\n<!-- a: end -->\nend\n"
    )
    with pytest.raises(ValueError, match=r"no <!-- b: begin -->"):
        document.put(path, "b", "new")
