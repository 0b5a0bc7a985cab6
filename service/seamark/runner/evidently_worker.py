"""A work folder with two Parquet files and a job -> Evidently's self-contained HTML. Runs in a child process only.

It may use no network and bounded memory and CPU. Evidently is imported here and nowhere else in the service.
"""

from __future__ import annotations

import ctypes
import html
import json
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The report is served by the service that watches models: whatever is in it may show itself and do no more.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)
# Evidently's names of the methods it has with the same figure. The others it has only as p-values, or not at all.
EVIDENTLY_METHODS = {
    "psi": "psi",
    "jensen_shannon": "jensenshannon",
    "wasserstein": "wasserstein",
    "hellinger": "hellinger",
}
_PR_SET_PDEATHSIG = 1


def main(work_dir: Path) -> None:
    """Make `report.html` in the folder; an exception ends the process with a last line that says why."""
    job = json.loads((work_dir / "job.json").read_text(encoding="utf-8"))
    _confine(job["memory_bytes"], job["cpu_s"])
    page = _make(work_dir, job["columns"])
    (work_dir / "part.html").write_text(_framed(page, job["notes"]), encoding="utf-8", errors="replace")
    (work_dir / "part.html").rename(work_dir / "report.html")


def _confine(memory_bytes: int, cpu_s: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.addaudithook(_no_network)


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError("a drift report needs no network")


def _make(work_dir: Path, columns: Sequence[Mapping[str, Any]]) -> str:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    named = {kind: [c["name"] for c in columns if c["kind"] == kind] for kind in ("numeric", "categorical")}
    # All six lists: what is not given is inferred from the rows, and differs from window to window.
    definition = DataDefinition(
        numerical_columns=named["numeric"],
        categorical_columns=named["categorical"],
        text_columns=[],
        datetime_columns=[],
        unknown_columns=[],
        list_columns=[],
    )
    reference, current = (
        Dataset.from_pandas(pd.read_parquet(work_dir / f"{side}.parquet"), data_definition=definition)
        for side in ("reference", "current")
    )
    metrics = [
        ValueDrift(column=c["name"], method=_method(c["method"], c["kind"]), threshold=c["threshold"]) for c in columns
    ]
    snapshot = Report(metrics, include_tests=True).run(current, reference)
    return str(snapshot.get_html_str(as_iframe=False))


def _method(name: str | None, kind: str) -> str | None:
    """Return Evidently's name of a Seamark method; one it does not have is given to it, with Seamark's own score."""
    if name is None or name in EVIDENTLY_METHODS:
        return EVIDENTLY_METHODS.get(name or "")
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    from seamark.compute.drift import METHODS
    from seamark.compute.profiles import PROFILERS

    def score_and_decide(reference: Any, current: Any, _: Any, threshold: float) -> tuple[float, bool]:
        dtype = float if kind == "numeric" else object
        before, after = (PROFILERS[kind](side.dropna().to_numpy(dtype=dtype)) for side in (reference, current))
        score = METHODS[name].score(before, after)
        return score, score >= threshold

    own = f"seamark_{name}_{kind}"
    test = StatTest(own, f"{name}, by Seamark", [ColumnType.Numerical, ColumnType.Categorical])
    register_stattest(test, score_and_decide)
    return own


def _framed(page: str, notes: Sequence[str]) -> str:
    """Add a policy that keeps the page from calling out, and what the reader should know."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    aside = f'<aside style="font:14px/1.5 system-ui,sans-serif;margin:1rem"><ul>{lines}</ul></aside>' if notes else ""
    page = page.replace("<head>", f"<head>\n{policy}", 1)
    return page.replace("<body>", f"<body>\n{aside}", 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
