"""A run second by second -> rate asked and achieved, latency over time both ways, errors, and the same as a table."""

from __future__ import annotations

from markupsafe import Markup

from seamark.delivery.reports import figures, svg
from seamark.delivery.reports.report import RunReport, SeriesPoint
from seamark.delivery.reports.section import Section, figure, folded, paragraph, table


def section(report: RunReport) -> Section:
    """Says so where nothing was sent."""
    points = report.series
    if not points:
        return Section(
            "course", "Course of the run", paragraph("Nothing was sent in this run, so there is nothing to plot.")
        )
    x = svg.linear("seconds since the start", [points[-1].t_s + _step_s(report)])
    body = Markup('<div class="two">{}{}</div>').format(_rates(report, x), _latencies(report, x))
    return Section("course", "Course of the run", body + _table(report))


def _step_s(report: RunReport) -> float:
    points = report.series
    return points[1].t_s - points[0].t_s if len(points) > 1 else 1.0


def _column(report: RunReport, name: str) -> list[tuple[float, float | None]]:
    return [(point.t_s, getattr(point, name)) for point in report.series]


def _rates(report: RunReport, x: svg.Axis) -> Markup:
    step_s = _step_s(report)
    failed = [(point.t_s, point.errors / step_s) for point in report.series]
    asked, achieved = _column(report, "asked_rps"), _column(report, "achieved_rps")
    plot = svg.Plot(
        f"Requests asked for and answered well per second; {sum(point.errors for point in report.series)} failed.",
        x,
        svg.linear("requests per second", [value for _, value in (*asked, *achieved, *failed)]),
        (
            svg.Line("asked for", "plain", asked, dashed=True, steps=True),
            svg.Line("answered well", "due", achieved, steps=True),
            svg.Line("failed", "bad", failed, steps=True),
        ),
    )
    return figure("Rate", "asked and failed by when requests were due, answered by when the answer came", plot)


def _latencies(report: RunReport, x: svg.Axis) -> Markup:
    names = ("p99_ms", "p50_ms", "service_p99_ms", "service_p50_ms")
    columns = {name: _column(report, name) for name in names}
    every = [value for column in columns.values() for _, value in column]
    if not any(value is not None for value in every):
        return paragraph("No request was answered, so there is no latency to plot.")
    plot = svg.Plot(
        "Latency second by second, median and 99th percentile, from the due instant and from the send.",
        x,
        svg.either("ms", every),
        (
            svg.Line("p99 from due", "due", columns["p99_ms"]),
            svg.Line("p50 from due", "due", columns["p50_ms"], dashed=True),
            svg.Line("p99 from send", "send", columns["service_p99_ms"]),
            svg.Line("p50 from send", "send", columns["service_p50_ms"], dashed=True),
        ),
    )
    return figure("Latency", "by when requests were due", plot)


def _table(report: RunReport) -> Markup:
    heads = ("Second", "Asked per s", "Answered per s", "Failed", "p50", "p99", "p99 from the send")
    rows = [_row(point) for point in report.series]
    return folded("The same as a table", table("Course of the run", heads, rows, right=frozenset(range(len(heads)))))


def _row(point: SeriesPoint) -> tuple[str, ...]:
    return (
        figures.number(point.t_s),
        figures.number(point.asked_rps),
        figures.number(point.achieved_rps),
        str(point.errors),
        figures.milliseconds(point.p50_ms),
        figures.milliseconds(point.p99_ms),
        figures.milliseconds(point.service_p99_ms),
    )
