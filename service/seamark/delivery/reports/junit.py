"""A run -> JUnit XML as GitLab, GitHub's reporters and Jenkins read it: a case per threshold, by a name that stays.

Names hold nothing measured, must not change between runs and must not repeat: readers compare runs by suite and name,
and drop a second test case of the same name (GitLab, "Unit test reports"). A run that says nothing is an `error`, not a
failure, and never a pass; nor is it `skipped`, which readers show as harmless. That is for what may be so: a comparison
with earlier runs that is not known, or that the plan does not fail on.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from seamark.core.baseline import BaselineFinding, BaselineState
from seamark.core.findings import LatencySummary, RunStatus, ThresholdResult
from seamark.delivery.reports import baseline
from seamark.delivery.reports.figures import HEADLINES, capacity_sentence, measured, milliseconds, number
from seamark.delivery.reports.report import RunReport

SUITE = "seamark load test"
OUT_CHARACTERS_MAX = 20_000  # of one text; GitLab reads up to 30 MB of a file

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: RunReport) -> str:
    """Return the run as one test suite: its verdict first, then each threshold."""
    duration = f"{report.duration_s or 0.0:.3f}"
    suite = ET.Element("testsuite", name=_text(f"{SUITE}: {report.plan}"), time=duration)
    if report.started_at is not None:
        suite.set("timestamp", report.started_at.strftime("%Y-%m-%dT%H:%M:%S"))
    _properties(suite, report)
    _verdict_case(suite, report, duration)
    names: dict[str, int] = {"verdict": 1}
    for threshold in report.thresholds:
        names[threshold.text] = seen = names.get(threshold.text, 0) + 1
        _threshold_case(suite, report, threshold, threshold.text if seen == 1 else f"{threshold.text} ({seen})")
    if report.verdict is not None and report.verdict.baseline is not None:
        _baseline_cases(suite, report, report.verdict.baseline)
    suites = ET.Element("testsuites", name="seamark")
    for element in (suite, suites):
        _count(element, suite)
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _count(element: ET.Element, suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    element.set("tests", str(len(cases)))
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(kind) is not None for case in cases)))
    element.set("time", suite.attrib["time"])


def _properties(suite: ET.Element, report: RunReport) -> None:
    told = {"run": report.run_id, "status": report.status.value, "trigger": report.trigger, "url": report.url or ""}
    told |= {name: str(report.document.get(name, "")) for name in ("model", "target")}
    properties = ET.SubElement(suite, "properties")
    for name, value in told.items():
        if value:
            ET.SubElement(properties, "property", name=f"seamark.{name}", value=_text(value))


def _case(suite: ET.Element, report: RunReport, name: str, duration: str) -> ET.Element:
    # GitLab shows the class name as the suite; a dot in it is a folder to Jenkins.
    return ET.SubElement(suite, "testcase", classname=_text(f"seamark.{report.plan}"), name=_text(name), time=duration)


def _verdict_case(suite: ET.Element, report: RunReport, duration: str) -> None:
    case = _case(suite, report, "verdict", duration)
    if report.status != RunStatus.PASSED:
        kind = "failure" if report.status == RunStatus.FAILED else "error"
        _add(case, kind, f"{HEADLINES[report.status]}: {report.reason}", report.status.value)
    ET.SubElement(case, "system-out").text = _text(_summary(report))


def _threshold_case(suite: ET.Element, report: RunReport, threshold: ThresholdResult, name: str) -> None:
    case = _case(suite, report, name, "0.000")
    if threshold.passed is None:
        _add(case, "error", f"not measured: {report.reason}", "unknown")
    elif not threshold.passed:
        _add(case, "failure", f"{threshold.text} was asked for, {measured(threshold)} was measured", "threshold")
    elif report.status in (RunStatus.INCONCLUSIVE, RunStatus.ABORTED):
        _add(case, "error", f"held as far as it was measured, but the run says nothing: {report.reason}", "unknown")
    ET.SubElement(case, "system-out").text = _text(f"{threshold.text}: {measured(threshold)}")


def _baseline_cases(suite: ET.Element, report: RunReport, finding: BaselineFinding) -> None:
    """One case per measure. What is not known, or is told without failing the run, is skipped with the reason."""
    for metric, cells in zip(finding.metrics, baseline.rows(finding), strict=True):
        case = _case(suite, report, f"baseline: {metric.metric}", "0.000")
        told = f"{cells[-1]}: {cells[1]}, the earlier runs had {cells[2]} ({cells[3]}, 95 % interval {cells[4]})"
        if metric.state == BaselineState.REGRESSION and finding.fails:
            _add(case, "failure", told, "regression")
        elif metric.state in (BaselineState.NO_CHANGE, BaselineState.IMPROVEMENT):
            ET.SubElement(case, "system-out").text = _text(told)
        elif metric.baseline is not None:
            ET.SubElement(case, "skipped", message=_text(f"{told}; the plan does not fail on it"))
        else:
            ET.SubElement(case, "skipped", message=_text(cells[-1] if finding.compared else finding.reason))


def _add(case: ET.Element, kind: str, message: str, of: str) -> None:
    element = ET.SubElement(case, kind, message=_text(message), type=of)
    element.text = _text(message)


def _summary(report: RunReport) -> str:
    lines = [f"run {report.run_id}: {HEADLINES[report.status]}. {report.reason}"]
    if report.url:
        lines.append(report.url)
    verdict = report.verdict
    if verdict is not None:
        lines += [
            f"requests {verdict.requests}, errors {verdict.errors}",
            f"rate asked for {number(verdict.asked_rate)} per s, achieved {number(verdict.achieved_rate)} per s",
            f"latency from the due instant: {_latencies(verdict.latency_ms)}",
            f"latency from the send: {_latencies(verdict.service_latency_ms)}",
            f"send lateness: {_latencies(verdict.lateness_ms)}",
        ]
        if verdict.capacity is not None:
            lines.append(f"capacity: {capacity_sentence(verdict.capacity)}")
        if verdict.baseline is not None:
            lines.append(f"beside earlier runs: {verdict.baseline.reason}")
    lines += [f"{kind.count} x {kind.error}" for kind in report.errors]
    return "\n".join(lines)


def _latencies(latency: LatencySummary) -> str:
    return ", ".join(f"{name} {milliseconds(getattr(latency, name))}" for name in ("p50", "p95", "p99", "max"))


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text if len(text) <= OUT_CHARACTERS_MAX else text[:OUT_CHARACTERS_MAX] + " …")
