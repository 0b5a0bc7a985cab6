"""`python -m bench [drift|loadtest|ingest] [--quick]` -> a Markdown table each, and bench/results/<name>.json."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from bench.report import write

BENCHES = ("drift", "loadtest", "ingest")


def main() -> int:
    """Run the benches asked for, one after the other: they would disturb each other."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: shows that they run, not a result")
    asked = parser.parse_args()
    for name in asked.names or BENCHES:
        if name not in BENCHES:
            parser.error(f"{name!r} is no bench; known are {', '.join(BENCHES)}")
    for name in asked.names or BENCHES:
        write(name, import_module(f"bench.{name}").run(quick=asked.quick), quick=asked.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
