"""The last results -> a document's tables of goals, each with the command that made it and the machine it ran on.

Run as `python -m bench.document FILE` to write them without measuring anew. What stands between the markers is
replaced; a document without them gets them at its end. The prose around them is its author's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import RESULTS, Goal, table

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write(path: Path, results: Path = RESULTS) -> None:
    """Put the goals of every result that has some into the document at `path`, made if it is not there."""
    found = [json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    sections = [_section(one) for one in found if one.get("goals")]
    text = path.read_text() if path.exists() else "# Benchmarks\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(before + "\n\n".join([BEGIN, *sections, END]) + after)
    print(f"Written to {path}", flush=True)


def put(path: Path, topic: str, text: str) -> None:
    """Replace what stands between the topic's own markers in a document; nothing else of it is touched."""
    begin, end = f"<!-- {topic}: begin -->", f"<!-- {topic}: end -->"
    whole = path.read_text()
    before, found, rest = whole.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path} has no {begin} and {end} to write between")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
    print(f"Written to {path}", flush=True)


def _section(result: Mapping[str, Any]) -> str:
    goals = [Goal(**{name: value for name, value in goal.items() if name != "reached"}) for goal in result["goals"]]
    warning = "**A quick run: these are no results.**\n\n" if result["quick"] else ""
    lines = [
        f"### {result['title']}",
        f"{warning}`{result['command']}`, {result['at'][:10]}: {_machine(result['machine'])}.",
        table([goal.row() for goal in goals]),
        "\n".join(f"* {note}" for note in result["notes"]),
    ]
    return "\n\n".join(lines)


def _machine(machine: Mapping[str, Any]) -> str:
    versions = machine["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("duckdb", "pyarrow", "ptars", "uvicorn"))
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']:g} GB, {machine['system']}, "
        f"Python {machine['python']}, {packages}; load when it ended: {machine['load_1m']:g}"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
