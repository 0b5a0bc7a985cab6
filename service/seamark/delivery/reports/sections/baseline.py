"""A run beside the earlier ones of its plan -> a table of changes, and how each figure went from run to run."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from seamark.core.baseline import BaselineFinding
from seamark.delivery.reports import baseline, figures, svg
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, figure, paragraph, table, word

_WORDS = {"regression": "failed", "improvement": "passed"}
_LINES = ("due", "send", "plain")


def section(report: RunReport) -> Section | None:
    """None for a run that was held against none."""
    finding = report.verdict.baseline if report.verdict else None
    if finding is None:
        return None
    body = paragraph(f"{finding.reason}.")
    if finding.compared:
        body += _history(finding)
        rows = [(*row[:-1], _outcome(row[-1])) for row in baseline.rows(finding)]
        body += table("Beside earlier runs", baseline.HEADS, rows, right=frozenset(range(1, 6)))
    return Section("baseline", "Beside earlier runs", body)


def _outcome(state: str) -> str | Markup:
    return word(state, _WORDS[state]) if state in _WORDS else state


def _history(finding: BaselineFinding) -> Markup:
    told = baseline.columns(finding)
    series: Sequence[tuple[str, Sequence[float | None]]] = list(told["values"].items())[: len(_LINES)]
    values = [value for _, column in series for value in column]
    if len([value for value in values if value is not None]) < 2:
        return Markup("")
    unit = "requests per second" if "capacity_rps" in told["values"] else "ms"
    count = len(told["at"])
    lines = [
        svg.Line(name, css, list(enumerate(column, 1)), dashed=True)
        for (name, column), css in zip(series, _LINES, strict=False)
    ]
    marks = [
        svg.Mark(
            index,
            value,
            "hollow" if role == "baseline" else "solid",
            css,
            f"{at}: {name} {figures.number(value)} {unit}",
        )
        for (name, column), css in zip(series, _LINES, strict=False)
        for index, (at, role, value) in enumerate(zip(told["at"], told["role"], column, strict=True), 1)
        if value is not None
    ]
    plot = svg.Plot(
        f"The figures of the last {count} runs of the plan, oldest first.",
        svg.linear("run, oldest first", [1, count], from_zero=False),
        svg.either(unit, values),
        lines=lines,
        marks=marks,
    )
    return figure("The last runs of the plan", "hollow: earlier runs; filled: held against them", plot)
