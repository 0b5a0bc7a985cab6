"""Jobs for the tools' worker processes -> false alarms with intervals, and what each finds at equal false alarms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from bench.drift_data import CASES, COLUMNS, MORE, kind
from bench.drift_tools import ASKED, POWERS, TOOLS
from bench.running import ROOT
from seamark.compute.calibrate import fit_null

ROWS = (30, 100, 300, 1_000, 10_000, 100_000)
REFERENCE_ROWS = (1_000, 10_000, 100_000, 1_000_000)
POWER_ROWS = (300, 3_000)
POWER_REFERENCE_ROWS = 10_000
CURVES = {  # sizes of a case's shift at 300 rows, for the figure
    "mean shift": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    "wider spread": (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5),
}
CHUNKS_MAX = 2_000
NANNYML = "nannyml==0.13.1"
_ENVIRONMENT = ROOT / ".build" / "bench-peers" / "nannyml"
_INSTALL_TIMEOUT_S = 1_800

Job = dict[str, Any]
Answer = dict[str, Any]


def interpreter(tool: str) -> str | None:
    """Return the Python that runs a tool; NannyML is installed into an environment of its own. None: it cannot be."""
    if tool != "NannyML":
        return sys.executable
    python, mark = _ENVIRONMENT / "bin" / "python", _ENVIRONMENT / "installed"
    if mark.exists() and mark.read_text() == NANNYML:
        return str(python)
    print(f"installing {NANNYML} into {_ENVIRONMENT.relative_to(ROOT)}", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NANNYML, "statsmodels"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENT)], check=True, timeout=_INSTALL_TIMEOUT_S)
        subprocess.run(pip, check=True, timeout=_INSTALL_TIMEOUT_S)  # which does not name statsmodels, yet imports it
    except (OSError, subprocess.SubprocessError) as error:
        print(f"NannyML is left out: {str(error)[-300:]}", flush=True)
        return None
    mark.write_text(NANNYML)
    return str(python)


def answers(jobs: Sequence[tuple[str, Job]], workers: int) -> list[Answer | None]:
    """Return what the tools answer to the jobs, in their order; None where a tool could not do one."""
    places = {tool: [n for n, (of, _) in enumerate(jobs) if of == tool] for tool in TOOLS}
    parts = [
        (tool, at[start::workers])
        for tool, at in places.items()
        if at
        for start in range(workers)
        if at[start::workers]
    ]
    found: list[Answer | None] = [None] * len(jobs)
    with ThreadPoolExecutor(workers) as pool:
        asked = pool.map(lambda part: _ask(part[0], [jobs[n][1] for n in part[1]]), parts)
        for (_, at), lines in zip(parts, asked, strict=True):
            for n, line in zip(at, lines, strict=True):
                found[n] = line
    return found


def _ask(tool: str, jobs: Sequence[Job]) -> list[Answer | None]:
    """Ask one worker process; what it does not answer is None, so that one tool's crash leaves the others' figures."""
    python = interpreter(tool)
    if python is None:
        return [None] * len(jobs)
    path = [str(ROOT)] if tool == "NannyML" else [str(ROOT), str(ROOT / "service"), os.environ.get("PYTHONPATH", "")]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "DO_NOT_TRACK": "1"}
    own |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    ran = subprocess.run(
        [python, "-W", "ignore", "-m", "bench.drift_worker", tool],
        env=own,
        cwd=ROOT,
        input="".join(json.dumps(job) + "\n" for job in jobs),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    if len(lines) < len(jobs):
        print(f"{tool} answered {len(lines)} of {len(jobs)} jobs: {ran.stderr[-500:]}", flush=True)
    for line in lines:
        if "error" in line:
            print(f"{tool}: {line['error'][:500]}", flush=True)
    answered: list[Answer | None] = [None if "error" in line else line for line in lines]
    return answered + [None] * (len(jobs) - len(lines))


def interval(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (C. Clopper and E. Pearson, Biometrika 26, 1934)."""
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return low, high


def quiet_jobs(windows: int, budget_s: Mapping[str, float]) -> list[tuple[str, Job]]:
    """Return a job for each tool and pair of sizes.

    NannyML scores its reference chunk by chunk of the window's rows: it needs two, and more than 2,000 take minutes.
    """
    return [
        (tool, {"study": "quiet", "rows": rows, "reference_rows": before, "windows": windows, "budget_s": budget})
        for rows in ROWS
        for before in REFERENCE_ROWS
        for tool, budget in budget_s.items()
        if tool != "NannyML" or 2 <= before / rows <= CHUNKS_MAX
    ]


def power_jobs(windows: int, quiet_windows: int, budget_s: float) -> list[tuple[str, Job]]:
    """Return jobs that set each tool's threshold, then those that count what it finds."""
    common = {"study": "single", "reference_rows": POWER_REFERENCE_ROWS, "budget_s": budget_s}
    jobs = [
        (tool, {**common, "column": column, "rows": rows, "windows": quiet_windows, "seed": 100_000})
        for tool in TOOLS
        if tool != "Seamark"  # whose p-values are taken at their word
        for column in sorted({case.column for case in CASES})
        for rows in POWER_ROWS
    ]
    for tool in TOOLS:
        for case in CASES:
            sizes = [(rows, case.sizes[rows]) for rows in POWER_ROWS]
            sizes += [(300, size) for size in CURVES.get(case.name, ()) if size != case.sizes[300]]
            jobs += [
                (
                    tool,
                    {
                        **common,
                        "case": case.name,
                        "column": case.column,
                        "size": size,
                        "rows": rows,
                        "windows": windows,
                    },
                )
                for rows, size in sizes
            ]
    return jobs


def alarms_table(jobs: Sequence[tuple[str, Job]], found: Sequence[Answer | None]) -> list[dict[str, Any]]:
    """Return a row for each tool and pair of sizes: the share of windows that alarmed, with its interval."""
    rows = []
    for (tool, job), answer in zip(jobs, found, strict=True):
        if answer is None:
            continue
        counted = answer["beyond_chance"] if tool == "Seamark" else answer["alarms"]
        low, high = interval(counted, answer["windows"])
        rows.append(
            {
                "tool": tool,
                "rows": job["rows"],
                "reference rows": job["reference_rows"],
                "windows": answer["windows"],
                "alarmed": counted / answer["windows"],
                "from": low,
                "to": high,
                "of these small": (counted - answer["alarms"]) / answer["windows"] if tool == "Seamark" else None,
            }
        )
    return rows


def pooled(rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the alarms and windows of rows of `alarms_table` together."""
    kept = list(rows)
    return round(sum(row["alarmed"] * row["windows"] for row in kept)), sum(row["windows"] for row in kept)


def columns_table(jobs: Sequence[tuple[str, Job]], found: Sequence[Answer | None]) -> list[dict[str, Any]]:
    """Return for Seamark's columns how often p was at most what is asked, by the window's rows, references together."""
    rows = []
    for column in COLUMNS:
        for size in ROWS:
            mine = [
                answer
                for (tool, job), answer in zip(jobs, found, strict=True)
                if tool == "Seamark" and job["rows"] == size and answer
            ]
            counted, windows = sum(one["p_under_asked"][column] for one in mine), sum(one["windows"] for one in mine)
            if windows:
                low, high = interval(counted, windows)
                rows.append(
                    {
                        "column": column,
                        "rows": size,
                        "windows": windows,
                        "share": counted / windows,
                        "from": low,
                        "to": high,
                    }
                )
    return rows


def power_tables(
    jobs: Sequence[tuple[str, Job]], found: Sequence[Answer | None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the cases' rows and the curves' rows: by tool, the share found at equal false alarms and with defaults."""
    bounds = {
        (tool, job["column"], job["rows"]): fit_null(np.array(answer["statistics"]), POWERS[tool]).score_at(ASKED)
        for (tool, job), answer in zip(jobs, found, strict=True)
        if answer is not None and "case" not in job
    }
    cases: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for (tool, job), answer in zip(jobs, found, strict=True):
        if answer is None or "case" not in job:
            continue
        bound = bounds.get((tool, job["column"], job["rows"]), -log10(ASKED) if tool == "Seamark" else None)
        hits = [one >= bound for one in answer["statistics"]] if bound is not None else []
        row = {
            "case": job["case"],
            "rows": job["rows"],
            "size": job["size"],
            "tool": tool,
            "windows": answer["windows"],
            "found": sum(hits) / len(hits) if hits else None,
            "found with defaults": answer["alarms"] / answer["windows"],
        }
        case = next(case for case in CASES if case.name == job["case"])
        if case.sizes[job["rows"]] == job["size"]:
            cases.append(row)
        if job["rows"] == 300 and job["size"] in CURVES.get(case.name, ()):
            curves.append(row)
    return cases, curves


def against_best(cases: Sequence[Mapping[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Return a row for each case: what each tool finds at equal false alarms, and whether Seamark finds as much as any.

    `as good` says "yes" or "no" by the figures as they are, and "within noise" where the best is ahead by less than
    two standard errors of the difference.
    """
    table = []
    for case in CASES:
        mine = {row["tool"]: row for row in cases if row["case"] == case.name and row["rows"] == rows}
        if "Seamark" not in mine:
            continue
        ours = mine["Seamark"]["found"]
        others = [row["found"] for tool, row in mine.items() if tool != "Seamark" and row["found"] is not None]
        best = max(others, default=0.0)
        noise = 2 * float(np.sqrt((ours * (1 - ours) + best * (1 - best)) / mine["Seamark"]["windows"]))
        shown: dict[str, Any] = {"case": f"{case.name}, {case.told.format(case.sizes[rows])}", "column": case.column}
        shown |= {tool: mine[tool]["found"] if tool in mine else None for tool in TOOLS}
        shown["as good"] = "yes" if ours >= best else "within noise" if best - ours < noise else "no"
        table.append(shown)
    return table


def columns_known() -> list[str]:
    """Return the names of all columns with their kinds, for the settings that stand beside the figures."""
    return [f"{name} ({kind(name)})" for name in [*COLUMNS, *MORE]]


def workers() -> int:
    """Return how many processes work at a time: as many as there are cores, at most two."""
    return min(2, len(os.sched_getaffinity(0)))


def images() -> Path:
    """Return the folder of the documents' figures."""
    return ROOT / "docs" / "images"
