"""Seeded windows, with and without a shift -> false alarms and power of Seamark's defaults beside three neighbours'.

Bounded by processor time, so that a busy machine makes the study slow and not small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.drift_study import (
    POWER_REFERENCE_ROWS,
    POWER_ROWS,
    REFERENCE_ROWS,
    ROWS,
    Answer,
    Job,
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

WINDOWS, POWER_WINDOWS, QUIET_WINDOWS = 2_000, 500, 3_000
BUDGET_S = {"Seamark": 24.0, "Evidently": 3.0, "NannyML": 3.0, "KS + chi-square, FDR": 3.0}  # each pair of sizes
POWER_BUDGET_S = 25.0  # each case, size and tool; it bounds only what turns out slow
SLACK = 2.0  # false alarms may be so many times what is asked
_TITLE = "Drift: false alarms and power, each tool with its defaults and at equal false alarms"


def run(*, quick: bool) -> Result:
    """Judge the same windows with every tool, draw the figures (not of a quick run) and hold them to the goals."""
    budget = dict.fromkeys(BUDGET_S, 0.15) if quick else BUDGET_S
    jobs = quiet_jobs(20 if quick else WINDOWS, budget)
    more = power_jobs(*((10, 50, 0.3) if quick else (POWER_WINDOWS, QUIET_WINDOWS, POWER_BUDGET_S)))
    if quick:
        jobs = [job for job in jobs if job[1]["rows"] <= 1_000 and job[1]["reference_rows"] <= 10_000]
        more = [job for job in more if job[1]["rows"] == POWER_ROWS[0]][:: 4 if quick else 1]
    found = answers([*jobs, *more], workers())
    quiet, moved = found[: len(jobs)], found[len(jobs) :]
    alarms, columns = alarms_table(jobs, quiet), columns_table(jobs, quiet)
    cases, curves = power_tables(more, moved)
    if not quick:
        draw(alarms, curves)
    return result(alarms, columns, cases, curves, jobs, quiet)


def result(
    alarms: Sequence[Mapping[str, Any]],
    columns: Sequence[Mapping[str, Any]],
    cases: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    jobs: Sequence[tuple[str, Job]],
    quiet: Sequence[Answer | None],
) -> Result:
    """Return the tables, the goals and how to read them."""
    best = {rows: against_best(cases, rows) for rows in POWER_ROWS}
    titles = {
        rows: f"found at equal false alarms, {rows:,} rows against {POWER_REFERENCE_ROWS:,}" for rows in POWER_ROWS
    }
    return Result(
        _TITLE,
        by_rows(alarms),
        notes(alarms),
        {
            "asked": ASKED,
            "columns": columns_known(),
            "windows": WINDOWS,
            "power_windows": POWER_WINDOWS,
            "threshold_windows": QUIET_WINDOWS,
            "budget_s": BUDGET_S,
        },
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
    """Return the share of windows that alarmed with nothing moved, a row for each size of window, references together."""
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
                    f"every tool at 0.001 false alarms per window; {yes} by the figures alone, {near} within their noise",
                    at_least=True,
                )
            )
    return found


def notes(alarms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how to read the tables."""
    least = min((row["windows"] for row in alarms if row["tool"] == "Seamark"), default=0)
    return [
        "The table: share of windows with any alarm when nothing moved, of a model of 8 columns: normal, lognormal, 60 % "
        "zeros, Poisson counts, 8, 100 and 1,000 Zipf levels, binary. Against references of 1,000 to 1,000,000 rows.",
        "Seamark: its defaults (30 rows it would call too few, so `rows_min` is 30 here). Counted is all that is beyond "
        "chance, `certain_small` included, which raises no alarm.",
        f"A pair of sizes has {WINDOWS:,} windows, or what {BUDGET_S['Seamark']:g} s of processor time held: at least {least}.",
        "Evidently: the test of its preset for each column and its threshold. NannyML: UnivariateDriftCalculator, chunks "
        "of the window's rows, references of two chunks or more; MissingValuesCalculator where something is missing.",
        "KS + chi-square, FDR: the rule that Alibi Detect documents for tables, written with SciPy, at the rate Seamark "
        "is asked for.",
        "Equal false alarms: a model of one column; each neighbour's threshold is set where it alarms in 0.001 of "
        f"{QUIET_WINDOWS:,} windows of its own with nothing moved (tail fitted), Seamark's is p <= 0.001.",
        f"Each figure of power: {POWER_WINDOWS} windows, the same for every tool.",
    ]


def draw(alarms: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]) -> None:
    """Write the documents' two figures."""
    tools = [tool for tool in TOOLS if any(row["tool"] == tool for row in alarms)]
    panels = []
    for before in (1_000, 10_000):
        lines = {
            tool: [
                (row["rows"], row["alarmed"])
                for row in alarms
                if (row["tool"], row["reference rows"]) == (tool, before) and row["rows"] <= 10_000
            ]
            for tool in tools
        }
        panels.append(
            Panel(
                f"Nothing moved, reference of {before:,} rows",
                "rows in a window",
                "windows with an alarm",
                {tool: line for tool, line in lines.items() if line},
                x_log=True,
                y_log=True,
                y_range=(1e-4, 1.0),
                dashed=(ASKED, "asked of Seamark"),
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
