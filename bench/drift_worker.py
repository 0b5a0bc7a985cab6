"""Run in a process of its own, `python -m bench.drift_worker TOOL`: jobs as JSON lines -> what the tool decided.

Windows are counted by their seeds, and processor time is what bounds a job: a busy machine must not make a study small.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.drift_data import CASES, COLUMNS, WINDOWS_PER_REFERENCE, moved, reference, window
from bench.drift_tools import ASKED, TOOLS, Judge


def quiet(judge: Judge, job: Mapping[str, Any]) -> dict[str, Any]:
    """Judge windows in which nothing moved: until `windows` are or `budget_s` of processor time is spent, but for one.

    A reference serves some windows where it is so much larger that these know little of each other.
    """
    rows, reference_rows = job["rows"], job["reference_rows"]
    each = max(1, min(WINDOWS_PER_REFERENCE, reference_rows // rows))
    counted = {"windows": 0, "alarms": 0, "beyond_chance": 0}
    drifted, rare = dict.fromkeys(COLUMNS, 0), dict.fromkeys(COLUMNS, 0)
    until_s = time.process_time() + job["budget_s"]
    seed = job.get("seed", 0)
    while counted["windows"] < job["windows"] and (not counted["windows"] or time.process_time() < until_s):
        before = {name: reference(name, reference_rows, seed) for name in COLUMNS}
        places = range(seed * each, seed * each + min(each, job["windows"] - counted["windows"]))
        windows = [{name: window(name, reference_rows, rows, at) for name in COLUMNS} for at in places]
        for decision in judge(before, windows):
            counted["windows"] += 1
            counted["alarms"] += decision.alarm
            counted["beyond_chance"] += bool(decision.beyond_chance)
            for name in COLUMNS:
                drifted[name] += decision.drifted[name]
                rare[name] += decision.statistic[name] >= -math.log10(ASKED)
        seed += 1
    return {**counted, "drifted": drifted, "p_under_asked": rare}


def single(judge: Judge, job: Mapping[str, Any]) -> dict[str, Any]:
    """Judge windows of a model with one column, moved by `size` of a case, or not at all where no case is named."""
    case = next((case for case in CASES if case.name == job.get("case")), None)
    column, rows, reference_rows = job["column"], job["rows"], job["reference_rows"]
    statistics: list[float] = []
    alarms = 0
    until_s = time.process_time() + job["budget_s"]
    first = job.get("seed", 0)
    for seed in range(first, first + -(-job["windows"] // WINDOWS_PER_REFERENCE)):
        places = range(seed * WINDOWS_PER_REFERENCE, (seed + 1) * WINDOWS_PER_REFERENCE)
        drawn = [
            moved(case, rows, job["size"], at) if case else window(column, reference_rows, rows, at) for at in places
        ]
        decisions = judge({column: reference(column, reference_rows, seed)}, [{column: one} for one in drawn])
        statistics += [decision.statistic[column] for decision in decisions]
        alarms += sum(decision.alarm for decision in decisions)
        if time.process_time() > until_s:
            break
    return {"statistics": statistics, "windows": len(statistics), "alarms": alarms}


STUDIES: dict[str, Callable[[Judge, Mapping[str, Any]], dict[str, Any]]] = {"quiet": quiet, "single": single}


def main() -> None:
    """Answer each line of stdin with one on stdout."""
    judge = TOOLS[sys.argv[1]]()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = STUDIES[job["study"]](judge, job)
        except Exception as error:  # noqa: BLE001 - whatever a tool raises, the other jobs are to be answered
            answer = {"error": f"{job}: {error!r}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
