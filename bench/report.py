"""A bench's figures -> a Markdown table on stdout and a JSON file with the facts of the machine beside it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "duckdb",
    "evidently",
    "fastapi",
    "gevent",
    "locust",
    "numpy",
    "pandas",
    "ptars",
    "pyarrow",
    "scipy",
    "uvicorn",
)


@dataclass(frozen=True)
class Goal:
    """One figure the project wants to reach. `measured` None: it was not; `how` says how it was, or why not."""

    what: str
    reach: float
    measured: float | None
    how: str
    at_least: bool = False  # else at most

    @property
    def reached(self) -> bool | None:
        """Whether it is; None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.reach if self.at_least else self.measured <= self.reach

    def row(self) -> dict[str, Any]:
        """Return it as a row of the table of goals."""
        bound = "at least" if self.at_least else "at most"
        verdict = {True: "yes", False: "no", None: None}[self.reached]
        return {
            "what": self.what,
            "reach": f"{bound} {text(self.reach)}",
            "measured": self.measured,
            "reached": verdict,
            "how": self.how,
        }


@dataclass(frozen=True)
class Result:
    """What one bench found. Rows are figures by column name; None shows as a dash; `notes` say how to read them.

    `more` are further tables by title, `goals` the figures held against what they should be.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    goals: Sequence[Goal] = ()


def write(name: str, result: Result, *, quick: bool, command: str) -> Path:
    """Print the tables and write bench/results/<name>.json; return its path. `command` is what was called."""
    print(f"## {result.title}{' (quick: not a result)' if quick else ''}\n")
    print(table(result.rows))
    for title, rows in result.more.items():
        print(f"\n{title}:\n\n{table(rows)}")
    if result.goals:
        print(f"\n{table([goal.row() for goal in result.goals])}")
    print("".join(f"\n* {note}" for note in result.notes), flush=True)
    document = {
        "bench": name,
        "title": result.title,
        "command": command,
        "quick": quick,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": dict(result.settings),
        "rows": [dict(row) for row in result.rows],
        "more": {title: [dict(row) for row in rows] for title, rows in result.more.items()},
        "goals": [asdict(goal) | {"reached": goal.reached} for goal in result.goals],
        "notes": list(result.notes),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nWritten to {path.relative_to(RESULTS.parent.parent)}\n", flush=True)
    return path


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with the columns of the first row."""
    columns = list(rows[0]) if rows else []
    lines = [columns, ["---"] * len(columns), *([text(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> dict[str, Any]:
    """What the figures depend on. `load_1m` tells how busy the machine was with other things."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions,
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def text(value: Any) -> str:
    """Return a figure as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
