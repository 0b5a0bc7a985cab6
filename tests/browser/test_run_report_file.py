"""A run's report saved to a file and opened with the network off: drawn, legible, and it asks for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sample_facts import HOSTILE
from test_pages_browser import CONTRAST, LOOKS

from seamark.core.findings import Capacity, CapacityStep, LatencySummary, RunStatus, ThresholdResult, Verdict
from seamark.core.records import ANSWER_DETAILS, LOAD_SAMPLES
from seamark.delivery import reports
from seamark.delivery.reports import RunReport

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCREENSHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"
FIGURES = LatencySummary(12.0, 40.0, 250.0, 1990.0)


def frozen_samples() -> pa.Table:
    """A minute at 100 requests/s through a freeze of two seconds."""
    rng, rows = np.random.default_rng(3), 6000
    due_s = np.arange(rows) / 100
    service_ms = rng.lognormal(2.5, 0.4, rows)
    frozen = (due_s > 30) & (due_s < 32)
    latency_ms = service_ms + np.where(frozen, (32 - due_s) * 1e3, 0.0)
    ok = rng.random(rows) > 0.004
    columns = {
        "run_id": ["r"] * rows,
        "segment": np.zeros(rows, np.int32),
        "due_s": due_s,
        "sent_s": due_s + rng.exponential(0.0015, rows),
        "latency_ms": latency_ms,
        "service_latency_ms": service_ms,
        "http_status": np.full(rows, 200, np.int16),
        "ok": ok,
        "error": pa.array(["HTTP 503", "no answer within 3 s", HOSTILE] * (rows // 3), mask=ok),
        **{name: pa.nulls(rows) for name in ANSWER_DETAILS},
    }
    return pa.table(columns).cast(LOAD_SAMPLES)


def step(rate: float, held: bool | None) -> CapacityStep:
    p99 = 15 + 600 * (rate / 160) ** 8
    return CapacityStep(rate, rate, int(rate * 20), 0.001, LatencySummary(10, p99 / 2, p99, p99), held, "held")


def run_report(name: str) -> RunReport:
    steps = tuple(step(rate, held) for rate, held in ((10, True), (80, True), (160, False), (140, None), (130, True)))
    status = {"failing": RunStatus.FAILED, "empty": RunStatus.INCONCLUSIVE, "aborted": RunStatus.ABORTED}.get(name)
    verdict = Verdict(
        status or RunStatus.PASSED,
        "p99(latency_ms) < 300 does not hold" if status else "all thresholds hold",
        *(6000, 24, 100.0, 99.6, FIGURES, FIGURES, LatencySummary(0.5, 3.0, 5.0, 9.0)),
        (
            ThresholdResult("p99(latency_ms) < 300", 1234.0, status is None),
            ThresholdResult("error_ratio < 0.01", 0.004, True),
        ),
        Capacity(130, 130, 160, "slo", steps, True) if name == "capacity" else None,
    )
    bare = RunReport("aa01", "churn-nightly", {"model": "churn"}, verdict.status, verdict.reason, None, None, None)
    if name in ("empty", "aborted"):
        return bare
    samples = frozen_samples()
    errors, kinds = reports.errors_by_kind(samples)
    progress = [{"t_s": float(t), "cpu_ratio": 0.3 + t / 200, "in_flight": 3} for t in range(60)]
    return replace(
        bare,
        verdict=verdict,
        series=reports.series(samples),
        distribution=reports.distribution(samples),
        errors=errors,
        error_kinds=kinds,
        generator=reports.generator(progress),
    )


# Every plot has at least one line or point within its frame, and text that is not larger than the frame.
DRAWN = """() => [...document.querySelectorAll("figure svg[role=img]")].filter((svg) => {
  const frame = svg.getBoundingClientRect();
  const shapes = [...svg.querySelectorAll("path.line, circle")].map((shape) => shape.getBoundingClientRect());
  return shapes.some((box) => box.width + box.height > 5 && box.left >= frame.left && box.right <= frame.right + 1);
}).length"""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(("name", "plots"), [("capacity", 6), ("failing", 5), ("empty", 0), ("aborted", 0)])
def test_a_saved_report_draws_its_plots_without_a_network(
    chromium: Any, tmp_path: Path, name: str, plots: int, look: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(reports.html(run_report(name)), encoding="utf-8")
    context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **LOOKS[look]}, offline=True)
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "request", lambda request: told.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.on("dialog", lambda dialog: pytest.fail("a name was run as a script"))
    page.goto(file.as_uri(), wait_until="load")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{name}-{look}.png", full_page=True)
    assert told == []
    assert page.evaluate(DRAWN) == plots
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    context.close()
