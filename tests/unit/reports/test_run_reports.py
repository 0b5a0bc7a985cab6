"""A run report -> JUnit, Markdown and a page: readable for machines and people, whatever the names in it hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from seamark.core.findings import Capacity, CapacityStep, LatencySummary, RunStatus, ThresholdResult, Verdict
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.delivery import reports
from seamark.delivery.reports import RunReport

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
        assert point.p50_ms == pytest.approx(np.quantile(latency[known], 0.5), abs=1e-3)
        assert point.p99_ms == pytest.approx(np.quantile(latency[known], 0.99), abs=1e-3)
        assert point.service_p99_ms == pytest.approx(np.quantile(service[known], 0.99), abs=1e-3)
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
    assert found["achieved_rate > 0.95"].find("error") is not None
    assert found["verdict"].attrib["classname"] == "churn-nightly" and found["verdict"].attrib["time"] == "61.500"


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
    assert "| p99(latency\\_ms) \\< 300 | 250 | passed |" in text
    assert "| from the due instant | 12.3 ms | 40 ms | 250 ms | 1234 ms |" in text
    assert "| send lateness | unknown | unknown | unknown | unknown |" in text
    assert "100 requests per second per replica (between 100 and not found)" in text
    assert "nothing \\| came" in text
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, "every row has as many cells as its head"


def test_markdown_says_when_it_is_not_known() -> None:
    text = reports.markdown(report(RunStatus.INCONCLUSIVE, verdict=None, reason="", started_at=None))
    assert text.startswith("## ⚠️ Load test churn-nightly: inconclusive\n")
    assert "No reason was recorded." in text and "| unknown | unknown |" in text


# --- the page ------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects scripts and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.data: str = ""
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append(dict(attrs))
        self._in_data = tag == "script" and dict(attrs).get("id") == "run-data"

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def test_the_page_holds_its_data_and_needs_nothing_but_plotly() -> None:
    page = Page(reports.html(report(), "/static/plotly.min.js", "n0nce"))
    assert [script.get("src") for script in page.scripts] == [None, "/static/plotly.min.js", None]
    assert page.scripts[2]["nonce"] == "n0nce"
    data = json.loads(page.data)
    assert len(data["series"]["t_s"]) == 10 and len(data["series"]["p99_ms"]) == 10
    assert data["capacity"] == {
        "quantile": "p99",
        "limit_ms": 300.0,
        "rps": 100.0,
        "asked_rps": [100.0],
        "latency_ms": [250.0],
        "held": [True],
    }
    assert page.tags.count("table") == 4, "thresholds, capacity, latency and the course are readable without a script"


@pytest.mark.parametrize("status", list(RunStatus))
def test_the_page_is_made_in_every_state(status: RunStatus) -> None:
    bare = report(status, verdict=None, series=(), distribution=(), started_at=None, document={})
    assert f'class="banner {status.value}"' in reports.html(bare, "/p.js")


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

    assert text.encode() and reports.html(nasty, "/p.js").encode()
    page = Page(reports.html(nasty, "/p.js"))
    assert len(page.scripts) == 3 and "alert" not in page.data
    assert json.loads(page.data)["series"]["t_s"]
