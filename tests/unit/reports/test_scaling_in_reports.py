"""The laws behind a capacity in a run's page and Markdown: drawn where they were fitted, and in words where not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_run_reports import HOSTILE, Page, report, verdict

from seamark.core.findings import Capacity, CapacityStep, LatencySummary, ThresholdResult
from seamark.core.scaling import CurvePoint, Interval, QueueFit, ReplicaGain, Scaling, UslFit
from seamark.delivery import reports
from seamark.delivery.reports import RunReport

LINEAR = Interval(80.0, 77.0, 83.0)
GAIN = ReplicaGain(1, 80.0, LINEAR, None, "one more replica brings about +80 requests/s (77–83), that was not tested")
USL = UslFit(
    "ok",
    9,
    peak_in_flight=Interval(9.7, 8.0, 12.0),
    peak_rps=Interval(95.0, 90.0, 101.0),
    fall_measured=True,
    error_ratio=0.02,
    curve=tuple(CurvePoint(float(n), 10.0 * n, 9.0 * n, 11.0 * n) for n in range(1, 13)),
    measured=((1.0, 10.0), (4.0, 40.0), (8.0, 79.0)),
)
QUEUE = QueueFit(
    "ok",
    7,
    slots=Interval(4.0, 3.0, 5.0),
    service_ms=Interval(40.0, 38.0, 42.0),
    percentile="p99",
    error_ratio=0.05,
    curve=(
        CurvePoint(10.0, 50.0, 45.0, 55.0),
        CurvePoint(80.0, 280.0, 200.0, 400.0),
        CurvePoint(99.0, None, None, None),
    ),
)
STEPS = tuple(
    CapacityStep(rate, rate, 2000, 0.0, LatencySummary(10.0, 20.0, p99, 2 * p99), held, "because")
    for rate, p99, held in ((10.0, 52.0, True), (80.0, 290.0, True), (95.0, 5000.0, False))
)


def with_laws(usl: UslFit = USL, queue: QueueFit = QUEUE, gain: ReplicaGain = GAIN, limit: str = "p99") -> RunReport:
    capacity = Capacity(80.0, 77.0, 83.0, "slo", STEPS, True, scaling=Scaling(usl, queue, gain))
    thresholds = (ThresholdResult("nonsense", None, None), ThresholdResult(f"{limit}(latency_ms) < 300", 290.0, True))
    return report(verdict=verdict(capacity=capacity, thresholds=thresholds))


def section_of(shown: RunReport) -> str:
    page = reports.html(shown)
    start = page.index('<h2 id="scaling">')
    return page[start : page.index("</section>", start)]


def test_both_laws_are_drawn_with_their_steps_bands_and_limits() -> None:
    told = section_of(with_laws())
    assert told.count("<figure>") == 2 and told.count('class="spread due"') == 2
    assert "One more replica brings about +80 requests/s (77–83), that was not tested." in told
    assert "N* = 9.7 (95 %: 8 to 12) requests in flight: 95 requests/s (95 %: 90 to 101)" in told
    assert "N* = 9.7, seen" in told and "peak 95 per s" in told and "off by 2 % of throughput over 9" in told
    assert "a queue with 4 slots (95 %: 3 to 5), each held 40 ms" in told and "p99 is off by 5 %" in told
    assert "limit 300 ms" in told and "1 slower step lies above" in told and told.count("80 per s: p99 290 ms") == 1
    page = Page(reports.html(with_laws()))
    assert "script" not in page.tags and page.fetched == ["data:,"]


def test_a_peak_that_was_not_passed_is_called_extrapolated() -> None:
    told = section_of(with_laws(replace(USL, fall_measured=False)))
    assert "N* is extrapolated, not seen" in told and "N* = 9.7, extrapolated" in told
    far = section_of(with_laws(replace(USL, fall_measured=False, peak_in_flight=Interval(900.0, 90.0, None))))
    assert "N* = 900 (95 %: 90 or more)" in far and "N* = 900, " not in far, "beyond the plot it is told, not drawn"
    level = section_of(with_laws(replace(USL, peak_in_flight=None)))
    assert "levels off at 95 requests/s" in level and "there is no N*" in level and "levels off at 95 per s" in level
    none = section_of(with_laws(replace(USL, peak_in_flight=None, peak_rps=None)))
    assert "has no limit that the steps show" in none


@pytest.mark.parametrize(
    ("usl", "words"),
    [
        (UslFit("too_few_points", 4), "could not be fitted: 4 different rates are too few"),
        (UslFit("no_contention", 9, measured=USL.measured), "no limit of one replica was seen"),
        (UslFit("poor_fit", 9, error_ratio=0.31), "off by 31 % of throughput over 9 steps"),
        (UslFit("poor_fit", 9), "is not this target&#39;s; no peak"),
    ],
)
def test_a_law_that_was_not_fitted_says_why_and_draws_no_curve(usl: UslFit, words: str) -> None:
    told = section_of(with_laws(usl))
    assert words in told and "N* =" not in told and told.count('class="spread due"') == 1
    assert told.count("<figure>") == (2 if usl.measured else 1)
    assert "no law was fitted" in told or not usl.measured


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("too_few_points", "too few different rates"),
        ("no_queue", "latency did not rise with the rate"),
        ("poor_fit", "off by 40 % of p99 over 7 steps"),
    ],
)
def test_a_queue_that_was_not_seen_says_why(state: str, words: str) -> None:
    told = section_of(with_laws(queue=QueueFit(state, 7, percentile="p99", error_ratio=0.4)))
    assert words in told and told.count("<figure>") == 1


def test_a_percentile_that_steps_do_not_keep_has_its_curve_and_its_limit() -> None:
    told = section_of(with_laws(queue=replace(QUEUE, percentile="p90"), limit="p90.0"))
    assert "p90 of each step is not kept" in told and "limit 300 ms" in told and "p90 latency over the rate" in told
    assert "limit " not in section_of(with_laws(limit="p50")).split("p99 latency over the rate")[1]


def test_markdown_tells_the_same_in_a_line_each() -> None:
    text = reports.markdown(with_laws())
    assert "\n* One more replica brings about +80 requests/s (77–83), that was not tested.\n* Throughput" in text
    assert "\n* That law is off by 2 % of throughput over 9 different rates.\n* Latency rises" in text
    assert "…" not in text.split("<details>")[0], "no sentence is cut"
    assert "scaling" not in reports.html(report()) and "One more" not in reports.markdown(report())
    hostile = reports.markdown(with_laws(gain=replace(GAIN, words=HOSTILE)))
    assert "<script>" not in hostile.replace("\\<", "") and "<script>" not in section_of(
        with_laws(gain=replace(GAIN, words=HOSTILE))
    )
