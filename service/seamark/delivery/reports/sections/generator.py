"""The load generator's own figures -> whether it, and not the target, was the limit."""

from __future__ import annotations

from markupsafe import Markup

from seamark.delivery.reports import figures, svg
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, figure, paragraph


def section(report: RunReport) -> Section | None:
    """None for a run that sent nothing."""
    if not report.series or report.verdict is None:
        return None
    lateness = report.verdict.lateness_ms
    cpus = [point.cpu_ratio for point in report.generator if point.cpu_ratio is not None]
    busiest = f"at most {figures.percent(max(cpus))} of a core in a second" if cpus else None
    limit = (
        "The load generator was the limit: these figures say more about it than about the target."
        if report.verdict.generator_saturated
        else "The load generator kept up."
        if busiest is not None
        else "The load generator was not found to be the limit; how busy it was is not recorded."
    )
    left = f"Requests left {figures.milliseconds(lateness.p99)} late at the 99th percentile"
    if report.verdict.asked_rate is None:
        left = "No rate was asked for, so no request could be late"
    told = f"{limit} {left}{f'; {busiest}' if busiest else ''}."
    late = [(point.t_s, point.lateness_p99_ms) for point in report.series]
    x = svg.linear("seconds since the start", [late[-1][0] + 1.0, *(point.t_s for point in report.generator)])
    plots = []
    if any(value is not None for _, value in late):
        plot = svg.Plot(
            f"Send lateness second by second, 99th percentile; over the run {figures.milliseconds(lateness.p99)}.",
            x,
            svg.linear("ms late, p99", [value for _, value in late]),
            (svg.Line("", "send", late),),
        )
        plots.append(figure("Send lateness", "how long after their due instant requests left", plot))
    if cpus:
        shares = [(p.t_s, None if p.cpu_ratio is None else p.cpu_ratio * 100) for p in report.generator]
        plot = svg.Plot(
            f"CPU of the load generator second by second, {busiest}.",
            x,
            svg.linear("% of a core", [100.0, *(value for _, value in shares)]),
            (svg.Line("", "plain", shares),),
            rules=(svg.Rule("busy", "bad", 90.0),),
        )
        plots.append(figure("CPU of the load generator", "above 90 % for three seconds it counts as saturated", plot))
    body = paragraph(told)
    if plots:
        body += Markup('<div class="two">{}</div>').format(Markup("").join(plots))
    return Section("generator", "Load generator", body)
