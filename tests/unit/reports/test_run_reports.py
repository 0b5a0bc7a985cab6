"""A run report -> JUnit, Markdown and a page: readable for machines and people, whatever the names in it hold."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from seamark.compute.capacity import aggregate
from seamark.core.findings import Capacity, CapacityStep, LatencySummary, RunStatus, ThresholdResult, Verdict
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.core.thresholds import parse_threshold
from seamark.delivery import reports
from seamark.delivery.reports import RunReport, sections
from seamark.delivery.reports.markdown import COMMENT_BYTES_MAX

AT = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
LATENCY = LatencySummary(12.3456, 40.0, 250.0, 1234.5)
HOSTILE = "</script><script>alert(1)</script>\x00\x1b|`*_[x](http://evil)\r\n<!-- ]]> & \" ' \ud800 \U0001f600"


def verdict(status: RunStatus = RunStatus.PASSED, **more: object) -> Verdict:
    step = CapacityStep(100.0, 99.5, 2000, 0.01, LATENCY, True, "held")
    over = CapacityStep(200.0, 150.0, 4000, 0.2, LatencySummary(None, None, None, None), None, "nothing | came")
    values: dict[str, object] = {
        "status": status,
        "reason": "all thresholds held",
        "requests": 6000,
        "errors": 12,
        "asked_rate": 100.0,
        "achieved_rate": 99.0,
        "latency_ms": LATENCY,
        "service_latency_ms": LATENCY,
        "lateness_ms": LatencySummary(None, None, None, None),
        "thresholds": (
            ThresholdResult("p99(latency_ms) < 300", 250.0, True),
            ThresholdResult("error_ratio < 0.01", 0.02, False),
            ThresholdResult("achieved_rate > 0.95", None, None),
            ThresholdResult("error_ratio < 0.01", 0.02, False),
        ),
        "capacity": Capacity(100.0, 100.0, None, "slo", (step, over), True),
        **more,
    }
    return Verdict(**values)  # type: ignore[arg-type]


def report(status: RunStatus = RunStatus.PASSED, **more: object) -> RunReport:
    values: dict[str, object] = {
        "run_id": "a1b2",
        "plan": "churn-nightly",
        "document": {"thresholds": ["p99(latency_ms) < 300"], "target": "http://m"},
        "status": status,
        "reason": "all thresholds held",
        "started_at": AT,
        "ended_at": AT + timedelta(seconds=61.5),
        "verdict": verdict(status),
        "series": reports.series(samples()),
        "distribution": reports.distribution(samples()),
        **more,
    }
    return RunReport(**values)  # type: ignore[arg-type]


def samples(rows: int = 3000, span_s: float = 10.0, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    due_s = np.sort(rng.uniform(0, span_s, rows))
    late_s = rng.exponential(0.001, rows)
    service_ms = rng.lognormal(3, 1, rows)
    ok = rng.random(rows) > 0.1
    unsent = rng.random(rows) < 0.05
    columns = {
        "run_id": ["r"] * rows,
        "segment": np.zeros(rows, np.int32),
        "due_s": due_s,
        "sent_s": pa.array(due_s + late_s, mask=unsent),
        "latency_ms": pa.array(service_ms + late_s * 1e3, mask=unsent),
        "service_latency_ms": pa.array(service_ms, mask=unsent),
        "http_status": pa.array(np.full(rows, 200, np.int16), mask=unsent),
        "ok": ok & ~unsent,
        "error": pa.array(["x"] * rows, mask=ok),
        **{name: pa.nulls(rows) for name in ANSWER_DETAILS},
    }
    return pa.table(columns).cast(LOAD_SAMPLES)


# --- series and distribution ---------------------------------------------------------------------------------------


def test_series_agrees_with_a_plain_loop_over_the_seconds() -> None:
    table = samples()
    points = reports.series(table)
    assert [p.t_s for p in points] == [float(second) for second in range(10)]
    due_s, latency = table["due_s"].to_numpy(), table["latency_ms"].to_numpy()
    service, ok = table["service_latency_ms"].to_numpy(), table["ok"].to_numpy()
    for second, point in enumerate(points):
        inside = (due_s >= second) & (due_s < second + 1)
        known = inside & ~np.isnan(latency)
        assert point.asked_rps == inside.sum()
        assert point.errors == (inside & ~ok).sum()
        assert point.p50_ms == pytest.approx(np.quantile(latency[known], 0.5, method="inverted_cdf"), abs=1e-3)
        assert point.p99_ms == pytest.approx(np.quantile(latency[known], 0.99, method="inverted_cdf"), abs=1e-3)
        assert point.service_p99_ms == pytest.approx(np.quantile(service[known], 0.99, method="inverted_cdf"), abs=1e-3)
    assert sum(p.achieved_rps for p in points) == pytest.approx(ok.sum())


def test_a_long_run_is_told_in_at_most_600_points_and_no_request_is_lost() -> None:
    points = reports.series(samples(5000, 20_000.0))
    step_s = points[1].t_s - points[0].t_s
    assert 300 < len(points) <= 600
    assert sum(p.asked_rps for p in points) * step_s == pytest.approx(5000, rel=1e-3)


def test_seconds_without_an_answer_are_unknown_not_zero() -> None:
    table = samples(2).set_column(2, LOAD_SAMPLES.field("due_s"), pa.array([0.5, 5.5]))
    points = reports.series(table)
    assert len(points) == 6
    assert points[3].p99_ms is None and points[3].asked_rps == 0
    assert reports.series(LOAD_SAMPLES.empty_table()) == []
    assert reports.distribution(LOAD_SAMPLES.empty_table()) == []


def test_the_distribution_is_numpys_and_ends_at_the_maximum() -> None:
    table = samples()
    points = reports.distribution(table)
    latency = table["latency_ms"].to_numpy()
    assert points[-1].share == 1.0 and points[-1].latency_ms == pytest.approx(np.nanmax(latency), abs=1e-3)
    assert [p.latency_ms for p in points] == sorted(p.latency_ms for p in points)


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1000])
def test_the_percentile_curve_and_the_course_have_the_verdicts_p99(count: int) -> None:
    """Of 100 answers with one of a second the 99th percentile is none between it and the others."""
    table = samples(count)
    latency_ms = np.where(np.arange(count) == count * 7 // 10, 1000.0, 5.0)
    for name, values in (("latency_ms", latency_ms), ("service_latency_ms", latency_ms), ("due_s", np.zeros(count))):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, LOAD_SAMPLES.field(name), pa.array(values).cast(LOAD_SAMPLES.field(name).type))
    expected = aggregate(latency_ms, parse_threshold("p99(latency_ms) < 14"))
    assert reports.series(table)[0].p99_ms == expected
    at_99 = [p.latency_ms for p in reports.distribution(table) if p.share == 0.99]
    assert at_99 == ([expected] if count >= 100 else [])


# --- JUnit ---------------------------------------------------------------------------------------------------------


def cases(text: str) -> dict[str, ET.Element]:
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    found = {case.attrib["name"]: case for case in suite.findall("testcase")}
    assert len(found) == int(suite.attrib["tests"]), "no name repeats"
    return found


def test_junit_has_a_case_per_threshold_by_the_same_name_whatever_the_outcome() -> None:
    names = [
        "verdict",
        "p99(latency_ms) < 300",
        "error_ratio < 0.01",
        "achieved_rate > 0.95",
        "error_ratio < 0.01 (2)",
    ]
    for status in RunStatus:
        assert list(cases(reports.junit(report(status, verdict=verdict(status))))) == names


def test_junit_failures_and_errors_are_told_apart() -> None:
    found = cases(reports.junit(report(RunStatus.FAILED)))
    assert found["verdict"].find("failure") is not None
    assert found["p99(latency_ms) < 300"].find("failure") is None
    assert found["p99(latency_ms) < 300"].find("error") is None
    failure = found["error_ratio < 0.01"].find("failure")
    assert failure is not None and "0.02 was measured" in failure.attrib["message"]
    assert "0.02" not in found["error_ratio < 0.01"].attrib["name"].replace("0.01", "")
    assert found["achieved_rate > 0.95"].find("error") is not None
    assert (
        found["verdict"].attrib["classname"] == "seamark.churn-nightly" and found["verdict"].attrib["time"] == "61.500"
    )


@pytest.mark.parametrize("status", [RunStatus.INCONCLUSIVE, RunStatus.ABORTED])
def test_junit_never_shows_an_undecided_run_as_passed(status: RunStatus) -> None:
    found = cases(reports.junit(report(status, reason="too few requests")))
    for case in found.values():
        assert case.find("error") is not None or case.find("failure") is not None
    error = found["verdict"].find("error")
    assert error is not None and "too few requests" in (error.text or "")


def test_junit_of_a_run_without_a_verdict_names_the_thresholds_of_its_plan() -> None:
    found = cases(reports.junit(report(RunStatus.INCONCLUSIVE, verdict=None, reason="the generator failed")))
    assert list(found) == ["verdict", "p99(latency_ms) < 300"]
    assert all(case.find("error") is not None for case in found.values())


def test_a_passed_run_has_no_failure_and_no_error() -> None:
    held = verdict(thresholds=(ThresholdResult("error_ratio < 0.01", 0.0, True),))
    text = reports.junit(report(verdict=held))
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None and (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")


# --- Markdown ------------------------------------------------------------------------------------------------------


def test_markdown_tells_verdict_thresholds_both_latencies_and_capacity() -> None:
    text = reports.markdown(report())
    assert text.startswith("## ✅ Load test churn-nightly: passed\n")
    assert "| p99(latency\\_ms) \\< 300 | 250 ms | ✅ passed |" in text
    assert "| from the due instant (corrected) | 12.3 ms | 40 ms | 250 ms | 1,234 ms |" in text
    assert "| send lateness | unknown | unknown | unknown | unknown |" in text
    assert "100 requests per second per replica (between 100 and not found)" in text
    assert "nothing \\| came" in text
    assert "[`a1b2`](http://127.0.0.1:8000/runs/a1b2)" in reports.markdown(
        report(url="http://127.0.0.1:8000/runs/a1b2")
    )
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, "every row has as many cells as its head"


def test_markdown_says_when_it_is_not_known() -> None:
    text = reports.markdown(report(RunStatus.INCONCLUSIVE, verdict=None, reason="", started_at=None))
    assert text.startswith("## ⚠️ Load test churn-nightly: inconclusive\n")
    assert "No reason was recorded." in text and "| not measured | ⚠️ unknown |" in text


# --- the page ------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects tags, what would be fetched, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.lines: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.fetched += [
            value for name, value in attrs if name in ("src", "srcset", "data", "action", "xlink:href") and value
        ]
        if tag == "link":
            self.fetched.append(given["href"] or "")
        if tag == "path" and "line" in (given.get("class") or ""):
            self.lines.append(given["d"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_no_script_and_fetches_nothing() -> None:
    text = reports.html(report(errors=[reports.ErrorKind("HTTP 503", 3, 1.0, 2.0)], error_kinds=1))
    page = Page(text)
    assert "script" not in page.tags and "style" not in re.findall(r"<[^>]* (style)=", text)
    assert page.fetched == ["data:,"]
    assert reports.POLICY in text.replace("&#39;", "'") and "default-src 'none'" in reports.POLICY
    assert page.tags.count("figure") == 5 and page.tags.count("table") == 6
    assert "HTTP 503" in page.text


def test_the_policy_names_the_style_sheet_by_its_hash() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", reports.html(report()), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in reports.POLICY


@pytest.mark.parametrize("status", list(RunStatus))
def test_the_page_is_made_in_every_state(status: RunStatus) -> None:
    bare = report(status, verdict=None, series=(), distribution=(), started_at=None, document={})
    text = reports.html(bare)
    assert f'class="banner {status.value}"' in text and "Nothing was sent" in text


def test_a_run_that_got_no_answer_says_so_instead_of_an_empty_plot() -> None:
    table = samples(100)
    silent = table
    for name in ("latency_ms", "service_latency_ms"):
        place = LOAD_SAMPLES.get_field_index(name)
        silent = silent.set_column(place, LOAD_SAMPLES.field(place), pa.nulls(100, pa.float64()))
    text = reports.html(report(series=reports.series(silent), distribution=reports.distribution(silent)))
    assert "No request was answered" in text and "nan" not in text.lower().replace("</figcaption>", "")


def test_sections_are_files_and_each_file_is_in_the_list() -> None:
    folder = Path(sections.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {build.__module__.rpartition(".")[2] for build in sections.SECTIONS} == files


def test_errors_are_told_by_kind_with_the_first_and_the_last() -> None:
    table = samples(40)
    told = pa.array([f"kind {index % 30}" if index < 35 else None for index in range(40)])
    failed = table.set_column(8, LOAD_SAMPLES.field("error"), told).set_column(
        7, LOAD_SAMPLES.field("ok"), pa.array([False] * 40)
    )
    kinds, count = reports.errors_by_kind(failed)
    assert count == 31 and len(kinds) == 20 and sum(kind.count for kind in kinds) < 40
    due_s = table["due_s"].to_numpy()
    first = next(kind for kind in kinds if kind.error == "kind 0")
    assert (first.count, first.first_s, first.last_s) == (2, due_s[0], due_s[30])
    assert any(kind.error == "no reason was recorded" and kind.count == 5 for kind in kinds)
    assert "11 rarer kinds are not shown" in reports.html(report(errors=kinds, error_kinds=count))
    assert reports.errors_by_kind(LOAD_SAMPLES.empty_table()) == ([], 0)


# --- all of them ----------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text_in_all_three() -> None:
    threshold = ThresholdResult(HOSTILE, float("nan"), None)
    step = CapacityStep(1.0, 1.0, 1, 0.0, LATENCY, False, HOSTILE)
    nasty = replace(
        report(RunStatus.INCONCLUSIVE),
        plan=HOSTILE,
        reason=HOSTILE,
        run_id=HOSTILE,
        document={HOSTILE: HOSTILE},
        verdict=verdict(thresholds=(threshold,), capacity=Capacity(1.0, 1.0, None, HOSTILE, (step,), False)),
    )
    suite = ET.fromstring(reports.junit(nasty)).find("testsuite")
    assert suite is not None and "</script>" in suite.attrib["name"]

    text = reports.markdown(nasty)
    assert "<script" not in text.replace("\\<", "") and "](http" not in text.replace("\\]", "")
    assert "\r" not in text and "\x00" not in text

    page = Page(reports.html(nasty))
    assert "script" not in page.tags and "img" not in page.tags and "alert(1)" in page.text


def test_a_long_report_fits_a_comment_and_is_cut_between_its_parts() -> None:
    words = "|<`* words of a long reason @all https://evil.example " * 40
    step = CapacityStep(1.0, 1.0, 1, 0.0, LATENCY, False, words)
    many = tuple(ThresholdResult(f"{words} {index}", None, None) for index in range(200))
    capacity = Capacity(1.0, 1.0, None, "slo", (step,) * 500, False)
    for thresholds in (many[:3], many):
        text = reports.markdown(report(verdict=verdict(thresholds=thresholds, capacity=capacity), reason=words))
        assert len(text.encode()) <= COMMENT_BYTES_MAX < 65_536
        assert text.count("<details>") == text.count("</details>") and text.startswith("## ✅ Load test churn-nightly")
        assert "@all" not in text and "https://evil" not in text
        assert text.rstrip().endswith("Run `a1b2`, started 2026-05-04 03:00:00 UTC, 61.5 s.")
        assert "not shown" in text or "left out" in text


# What JUnit's readers take, after the schema that Jenkins publishes: children in their order, and attributes.
CHILDREN = {
    "testsuites": ("testsuite",),
    "testsuite": ("properties", "testcase", "system-out", "system-err"),
    "properties": ("property",),
    "testcase": ("skipped", "error", "failure", "system-out", "system-err"),
}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors", "skipped"},
    "testsuite": {"name", "time", "tests", "failures", "errors", "skipped", "timestamp"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
}


@pytest.mark.parametrize("status", list(RunStatus))
def test_junit_is_of_the_form_its_readers_take(status: RunStatus) -> None:
    def check(element: ET.Element) -> None:
        order = CHILDREN.get(element.tag, ())
        places = [order.index(child.tag) for child in element]
        assert places == sorted(places), f"<{element.tag}> has its children in another order"
        assert set(element.attrib) <= ATTRIBUTES.get(element.tag, set()), element.tag
        for child in element:
            check(child)

    for more in ({}, {"verdict": None, "started_at": None}, {"errors": [reports.ErrorKind(HOSTILE, 1, 0, 0)]}):
        root = ET.fromstring(reports.junit(report(status, **more)))
        check(root)
        for element in root.iter("testcase"):
            assert element.find("error") is None or element.find("failure") is None, "one outcome"
            float(element.attrib["time"])
        assert root.attrib["tests"] == root[0].attrib["tests"] != "0"


def test_junit_names_a_suite_and_cases_that_hold_nothing_measured() -> None:
    first, second = (
        ET.fromstring(reports.junit(report(RunStatus.FAILED, run_id=run, verdict=verdict(thresholds=thresholds))))[0]
        for run, thresholds in (
            ("aa", (ThresholdResult("p99(latency_ms) < 300", 301.5, False), ThresholdResult("verdict", 1.0, True))),
            ("bb", (ThresholdResult("p99(latency_ms) < 300", None, None), ThresholdResult("verdict", 2.0, False))),
        )
    )
    assert first.attrib["name"] == second.attrib["name"] == "seamark load test: churn-nightly"
    names = [
        [(c.attrib["classname"], c.attrib["name"]) for c in suite.findall("testcase")] for suite in (first, second)
    ]
    assert names[0] == names[1] and len(set(names[0])) == 3
    told = {p.attrib["name"]: p.attrib["value"] for p in first.iter("property")}
    assert told["seamark.run"] == "aa" and told["seamark.target"] == "http://m"
