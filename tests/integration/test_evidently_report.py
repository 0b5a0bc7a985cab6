"""A real Evidently report in its worker process: Seamark's own figures, nothing hostile, nothing from the network."""

from __future__ import annotations

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seamark.core.errors import Invalid, SeamarkError
from seamark.runner import evidently

HOSTILE = "</script><script>alert('x')</script>\u2028`${1}\\\x00\ud800"


class Tags(HTMLParser):
    """The elements of a page, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


def tables(rows: int = 500) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    rng = np.random.default_rng(1)

    def side(shift: float, levels: list[str]) -> pa.Table:
        return pa.table(
            {
                "income": rng.normal(shift, 1, rows),
                "age": rng.normal(0, 1, rows),
                "nothing": pa.nulls(rows, pa.float64()),
                "plan": rng.choice(levels, rows),
                "city": rng.choice([f"city {n}" for n in range(300)], rows),
                HOSTILE.replace("\ud800", ""): rng.choice(["</script><img src=x>", "b"], rows),
                "constant": np.ones(rows),
                "odd": np.where(rng.random(rows) < 0.1, np.inf, 1.0),
            }
        )

    reference, current = side(0.0, ["a", "b"]), side(3.0, ["a", "c"])
    kinds = {
        name: "categorical" if pa.types.is_string(reference[name].type) else "numeric"
        for name in reference.column_names
    }
    return reference, current, kinds


@pytest.mark.slow
def test_the_report_shows_what_seamark_judged_and_stays_inside_its_page(tmp_path: Path) -> None:
    reference, current, kinds = tables(25_000)
    out = tmp_path / "report.html"
    methods = {name: "ks" if kind == "numeric" else "chi_square" for name, kind in kinds.items()} | {"age": "psi"}
    thresholds: dict[str, float | None] = {**dict.fromkeys(kinds, 0.2), "constant": None}
    evidently.report(reference, current, kinds, out, 120.0, methods=methods, thresholds=thresholds)

    page = out.read_text(encoding="utf-8")
    assert "evidently" not in sys.modules, "only the worker imports it"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"], "the work folder is gone"
    for column, detected, method in (
        ("income", "detected", "ks, by Seamark"),
        ("age", "not detected", "PSI"),
        ("plan", "detected", "chi_square, by Seamark"),
        ("city", "not detected", "chi_square, by Seamark"),
    ):
        widget = page[page.index(f"Drift in column '{column}'") :][:600]
        assert f"Data drift {detected}. Drift detection method: {method}" in widget
    assert "Left out, without a single value in one of the samples: nothing." in page
    assert "Left out, not judged by Seamark: constant." in page
    assert "A random sample of 20000 of the 25000 reference rows." in page
    assert "city: the levels after the 100 most frequent are put together." in page

    tags = Counter(Tags(page).seen)
    assert tags["script"] == page.count("</script>") == 4, "no name or value ends a script"
    assert tags["img"] == 0
    assert "alert('x')" not in page and "<img src=x>" not in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page), "nothing is fetched"
    assert "default-src 'none'" in page


def test_a_failed_worker_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(SeamarkError, match=r"could not be made \(code 1\): KeyError: 'memory_bytes'"):
        evidently._run(tmp_path, 60.0)


def test_a_worker_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    reference, current, kinds = tables()
    with pytest.raises(SeamarkError, match=r"not done after 0\.2 s"):
        evidently.report(reference, current, kinds, tmp_path / "r.html", 0.2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kinds", "thresholds", "says"),
    [
        ({"nothing": "numeric"}, None, "without a single value"),
        ({"absent": "numeric"}, None, "not in both samples"),
        ({"income": "numeric"}, {"income": None}, "not judged by Seamark"),
        ({}, None, "no column in both samples"),
    ],
)
def test_nothing_to_report_is_said_before_a_process_is_started(
    tmp_path: Path, kinds: dict[str, str], thresholds: dict[str, float | None] | None, says: str
) -> None:
    reference, current, _ = tables()
    with pytest.raises(Invalid, match=says):
        evidently.report(reference, current, kinds, tmp_path / "r.html", 5.0, thresholds=thresholds)


def test_names_that_become_alike_stay_apart() -> None:
    assert evidently.harmless("<a>") == "\u2039a\u203a"
    assert evidently._unused("a", {"a", "a (2)"}) == "a (3)"
    assert len(evidently.harmless("x" * 5000)) == evidently.NAME_MAX
    assert evidently.harmless("\ud800\n") == "  "
