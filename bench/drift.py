"""Seeded windows, with and without a shift -> false alarms and power of Seamark's defaults beside three neighbours'.

Bounded by processor time, so that a busy machine makes the study slow and not small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.drift_data import WINDOWS_PER_REFERENCE
from bench.drift_study import (
    POWER_REFERENCE_ROWS,
    POWER_ROWS,
    REFERENCE_ROWS,
    ROWS,
    against_best,
    alarms_table,
    answers,
    columns_known,
    columns_table,
    images,
    interval,
    pooled,
    power_jobs,
    power_tables,
    quiet_jobs,
    workers,
)
from bench.drift_tools import ASKED, TOOLS
from bench.plots import Panel, svg
from bench.report import Goal, Result

MINUTES = 25.0
# In so many minutes on two idle cores; fewer minutes take as much of each.
WINDOWS, POWER_WINDOWS, THRESHOLD_WINDOWS = 8_000, 800, 6_000
BUDGET_S = {"Seamark": 36.0, "Evidently": 4.5, "NannyML": 4.5, "KS + chi-square, FDR": 4.5}  # each pair of sizes
POWER_BUDGET_S = 60.0  # each case, size and tool; it bounds only what turns out slow
SLACK = 2.0  # false alarms may be so many times what is asked
QUICK_ROWS = 300
NOTES = """\
The first table: share of windows with any alarm when nothing moved, of a model of 8 columns (normal, lognormal, 60 %
zeros, Poisson counts, 8, 100 and 1,000 Zipf levels, binary), against references of 1,000 to 1,000,000 rows.

Seamark: its defaults, but `rows_min: 30`, as 30 rows it would call too few. Counted is all that is beyond chance,
`certain_small` included, which raises no alarm.

A pair of sizes has {at.windows:,} windows, or what {seconds:.3g} s of processor time held: at least {least}.

Evidently: the test that its preset chooses for each column, and its threshold. NannyML: UnivariateDriftCalculator,
chunks of the window's rows, references of two chunks or more; MissingValuesCalculator where something is missing.

KS + chi-square, FDR: the rule that Alibi Detect documents for tables, written with SciPy, at the rate Seamark is asked
for.

Equal false alarms: a model of one column; each neighbour's threshold is set where it alarms in 0.001 of
{at.threshold_windows:,} windows of its own in which nothing moved (tail fitted), Seamark's is p <= 0.001. Where
something is missing, Seamark's is the p-value of its data quality.

Each figure of power: {at.power_windows} windows, the same for every tool."""
_TITLE = "Drift: false alarms and power, each tool with its defaults and at equal false alarms"


@dataclass(frozen=True)
class Scale:
    """How many windows each part has, at most."""

    windows: int
    power_windows: int
    threshold_windows: int
    budget_s: Mapping[str, float]
    power_budget_s: float


def scale(minutes: float) -> Scale:
    """Return what fits into so many minutes."""
    part = minutes / MINUTES
    return Scale(
        round(WINDOWS * part),
        max(round(POWER_WINDOWS * part), WINDOWS_PER_REFERENCE),
        max(round(THRESHOLD_WINDOWS * part), 50),
        {tool: budget_s * part for tool, budget_s in BUDGET_S.items()},
        POWER_BUDGET_S * part,
    )


def run(*, quick: bool, minutes: float | None = None) -> Result:
    """Judge the same windows with every tool, draw the figures (not of a quick run) and hold them to the goals."""
    at = scale(0.1 if quick else minutes or MINUTES)
    jobs = quiet_jobs(at.windows, at.budget_s)
    more = power_jobs(at.power_windows, at.threshold_windows, at.power_budget_s)
    if quick:
        jobs = [job for job in jobs if job[1]["rows"] == QUICK_ROWS and job[1]["reference_rows"] <= 10_000]
        more = [job for job in more if job[1]["rows"] == QUICK_ROWS and job[1]["column"] == "normal"]
    found = answers([*jobs, *more], workers())
    quiet, moved = found[: len(jobs)], found[len(jobs) :]
    alarms, columns = alarms_table(jobs, quiet), columns_table(jobs, quiet)
    cases, curves = power_tables(more, moved)
    if not quick:
        draw(alarms, curves)
    return result(alarms, columns, cases, curves, at)


def result(
    alarms: Sequence[Mapping[str, Any]],
    columns: Sequence[Mapping[str, Any]],
    cases: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    at: Scale,
) -> Result:
    """Return the tables, the goals and how to read them."""
    best = {rows: against_best(cases, rows) for rows in POWER_ROWS}
    titles = {
        rows: f"found at equal false alarms, {rows:,} rows against {POWER_REFERENCE_ROWS:,}" for rows in POWER_ROWS
    }
    return Result(
        _TITLE,
        by_rows(alarms),
        notes(alarms, at),
        {"asked": ASKED, "columns": columns_known(), **asdict(at)},
        {
            **{titles[rows]: best[rows] for rows in POWER_ROWS if best[rows]},
            "found with each tool's own threshold": with_defaults(cases),
            "false alarms by size, with 95 % intervals": alarms,
            f"Seamark, one column: share of windows with p <= {ASKED}, references together": columns,
            "power by the size of the shift": curves,
        },
        goals(alarms, columns, best),
    )


def by_rows(alarms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the share of windows that alarmed with nothing moved, by the window's rows, references together."""
    table = []
    for rows in ROWS:
        row: dict[str, Any] = {"rows in a window": rows}
        for tool in TOOLS:
            count, windows = pooled(one for one in alarms if one["tool"] == tool and one["rows"] == rows)
            row[tool] = count / windows if windows else None
            if tool == "Seamark":
                low, high = interval(count, windows) if windows else (None, None)
                row |= {"from": low, "to": high, "windows": windows}
        if row["windows"]:
            table.append(row)
    return table


def with_defaults(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what each tool finds with its own threshold; it says little of one that alarms with nothing moved too."""
    names = dict.fromkeys((row["case"], row["rows"]) for row in cases)
    return [
        {"case": case, "rows": rows}
        | {
            tool: next(
                (
                    row["found with defaults"]
                    for row in cases
                    if (row["case"], row["rows"], row["tool"]) == (case, rows, tool)
                ),
                None,
            )
            for tool in TOOLS
        }
        for case, rows in names
    ]


def goals(
    alarms: Sequence[Mapping[str, Any]],
    columns: Sequence[Mapping[str, Any]],
    best: Mapping[int, Sequence[Mapping[str, Any]]],
) -> list[Goal]:
    """Return what is held against what the project wants to reach."""
    ours = [row for row in alarms if row["tool"] == "Seamark"]
    count, windows = pooled(ours)
    low, high = interval(count, windows)
    most = SLACK * ASKED
    found = [
        Goal(
            "drift: false alarms over what is asked (0.001 per window), all windows",
            SLACK,
            count / windows / ASKED,
            f"{count} of {windows:,} windows of 8 columns; 95 % interval {low / ASKED:.2g} to {high / ASKED:.2g}",
        ),
        Goal(
            "drift: pairs of sizes whose interval lies above 2 x what is asked",
            0,
            sum(row["from"] > most for row in ours),
            f"of {len(ours)}: {len(ROWS)} sizes of windows, {len(REFERENCE_ROWS)} of references, where both were run",
        ),
        Goal(
            "drift: columns and sizes whose interval lies above 2 x what is asked",
            0,
            sum(row["from"] > most for row in columns),
            f"of {len(columns)}: a column alone, p <= 0.001, references together",
        ),
    ]
    for rows, table in best.items():
        if table:
            yes = sum(row["as good"] == "yes" for row in table)
            near = sum(row["as good"] == "within noise" for row in table)
            found.append(
                Goal(
                    f"drift: cases of {len(table)} found as often as by the best neighbour, {rows:,} rows",
                    len(table) - 1,
                    yes + near,
                    f"all at 0.001 false alarms per window; {yes} by the figures alone, {near} within their noise",
                    at_least=True,
                )
            )
    return found


def notes(alarms: Sequence[Mapping[str, Any]], at: Scale) -> list[str]:
    """Return how to read the tables."""
    least = min((row["windows"] for row in alarms if row["tool"] == "Seamark"), default=0)
    return [
        line.replace("\n", " ")
        for line in NOTES.format(at=at, seconds=at.budget_s["Seamark"], least=least).split("\n\n")
    ]


def draw(alarms: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]) -> None:
    """Write the documents' two figures."""
    tools = [tool for tool in TOOLS if any(row["tool"] == tool for row in alarms)]
    panels = []
    for title, kept in (
        ("references of 1,000 to 1,000,000 rows", alarms),
        ("reference of 10,000 rows", [row for row in alarms if row["reference rows"] == 10_000]),
    ):
        table = by_rows(kept)
        lines = {
            tool: [(row["rows in a window"], row[tool]) for row in table if row[tool] is not None] for tool in tools
        }
        panels.append(
            Panel(
                f"Nothing moved, {title}",
                "rows in a window",
                "windows with an alarm",
                {tool: line for tool, line in lines.items() if line},
                x_log=True,
                y_log=True,
                y_range=(1e-4, 1.0),
                dashed=(ASKED, "asked of Seamark"),
                bars={"Seamark": [(row["rows in a window"], row["from"], row["to"]) for row in table]},
            )
        )
    (images() / "drift-false-alarms.svg").write_text(svg(panels))
    powers = []
    for case, x in (
        ("mean shift", "shift of the mean, standard deviations"),
        ("wider spread", "spread, times the old"),
    ):
        lines = {
            tool: sorted((row["size"], row["found"]) for row in curves if (row["tool"], row["case"]) == (tool, case))
            for tool in tools
        }
        title = f"{case.capitalize()}, {POWER_ROWS[0]} rows, equal false alarms"
        powers.append(Panel(title, x, "windows found", {tool: line for tool, line in lines.items() if line}))
    (images() / "drift-power.svg").write_text(svg(powers))
