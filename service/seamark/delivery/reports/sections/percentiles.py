"""A run's distribution of latency -> the percentile curve, corrected against uncorrected."""

from __future__ import annotations

from seamark.delivery.reports import figures, svg
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, figure, folded, table


def section(report: RunReport) -> Section | None:
    """None where nothing was answered."""
    points = report.distribution
    if not points:
        return None
    # The maximum stands for the rarest share that this many answers can show.
    rarest = max((1 / (1 - point.share) for point in points if point.share < 1), default=1.0)
    at = [1 / (1 - point.share) if point.share < 1 else rarest for point in points]
    due, send = [point.latency_ms for point in points], [point.service_latency_ms for point in points]
    plot = svg.Plot(
        f"Latency by percentile. From the due instant: the median is {figures.milliseconds(_at(report, 0.5))}, the "
        f"maximum {figures.milliseconds(due[-1])}; from the send the maximum is {figures.milliseconds(send[-1])}.",
        svg.percentiles([point.share for point in points]),
        svg.either("ms", [*due, *send]),
        (
            svg.Line("from the due instant (corrected)", "due", list(zip(at, due, strict=True))),
            svg.Line("from the send (uncorrected)", "send", list(zip(at, send, strict=True)), dashed=True),
        ),
    )
    rows = [
        (
            "max" if point.share == 1 else f"{point.share * 100:.5g} %",
            figures.milliseconds(point.latency_ms),
            figures.milliseconds(point.service_latency_ms),
        )
        for point in points
    ]
    heads = ("Share of answers", "From the due instant", "From the send")
    body = figure("Latency by percentile", "each nine takes the same room; the curve ends at the maximum", plot)
    body += folded("The same as a table", table("Latency by percentile", heads, rows, right=frozenset({0, 1, 2})))
    return Section("percentiles", "Percentiles", body)


def _at(report: RunReport, share: float) -> float | None:
    return next((point.latency_ms for point in report.distribution if point.share >= share), None)
