"""`python -m bench [NAME ...] [options]` -> Markdown tables, and bench/results/<name>.json.

Names are drift, drift_speed, vectors, loadgen, capacity, baseline, release, ingest, queries, performance,
autoscale, forecast; all by default.

* --quick: seconds each; shows that everything runs. Its figures are marked and are no result.
* --only KIND ... (ingest): of protobuf, json, ndjson, arrow, logs.
* --peers (ingest): Phoenix and MLflow too, installed into environments of their own under .build/ on first use.
* --minutes M (ingest): how long the run at half the maximum takes; 1 by default, 30 for a soak.
  (drift): about how long the study takes on two idle cores; 25 by default. Fewer minutes are fewer windows.
* --spans N [N ...] (queries): sizes of the lakes, the smallest first; 5000000 by default.
* --rate R (queries): the maximum in spans/s of whose half comes in meanwhile; by default what ingest last found here.
* --lakes FOLDER (queries): keep the lakes there, and use those that are there; each run adds what it sends.
* --data FILE (performance, forecast): bicycles rented per hour, UCI's hour.csv, as a further case.
* --traces FILE ... (autoscale, forecast): traffic as `seamark autoscale backtest --trace` reads it; else synthetic.
* --plots FOLDER (autoscale): draw there, and put the tables into benchmarks.md beside that folder.
* --write FILE: also put the tables of goals into this document, between its markers (bench/document.py).

Leave the machine alone meanwhile: every figure has `load_1m` beside it in the JSON to tell whether you did.
"""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module
from pathlib import Path

from bench import document
from bench.payloads import PAYLOADS
from bench.report import write

# Each bench, and which of the options it knows.
BENCHES = {
    "drift": ("quick", "minutes"),
    "drift_speed": ("quick",),
    "vectors": ("quick",),
    "loadgen": ("quick",),
    "baseline": ("quick",),
    "capacity": ("quick",),
    "release": ("quick",),
    "ingest": ("quick", "peers", "minutes", "only"),
    "queries": ("quick", "spans", "rate", "lakes"),
    "performance": ("quick", "data"),
    "autoscale": ("quick", "traces", "plots"),
    "forecast": ("quick", "traces", "data"),
}


def main() -> int:
    """Run the benches asked for, one after the other: they would disturb each other."""
    parser = _parser()
    asked = parser.parse_args()
    names = asked.names or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            parser.error(f"{name!r} is no bench; known are {', '.join(BENCHES)}")
    command = f"python -m bench {' '.join(sys.argv[1:])}".rstrip()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    for name in names:
        options = {option: getattr(asked, option) for option in BENCHES[name]}
        write(name, import_module(f"bench.{name}").run(**options), quick=asked.quick, command=command)
    if asked.write:
        document.write(asked.write)
    return 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: shows that they run, not a result")
    parser.add_argument("--only", nargs="+", choices=list(PAYLOADS), help="ingest: these payloads")
    parser.add_argument("--peers", action="store_true", help="ingest: measure the neighbours too")
    parser.add_argument("--minutes", type=float, help="ingest: the run at half the maximum; drift: the study")
    parser.add_argument("--spans", nargs="+", type=int, help="queries: sizes of the lakes")
    parser.add_argument("--rate", type=float, help="queries: the maximum in spans/s, half of which comes in")
    parser.add_argument("--lakes", type=Path, help="queries: where lakes are kept from run to run")
    parser.add_argument("--data", type=Path, metavar="FILE", help="performance: bicycles rented per hour (hour.csv)")
    parser.add_argument("--traces", nargs="+", type=Path, metavar="FILE", help="autoscale: traffic to play")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="autoscale: where to draw what was played")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the goals into this document")
    return parser


if __name__ == "__main__":
    sys.exit(main())
