"""Bodies in a folder -> rows per CPU second when a fresh process only unpacks and decodes them.

Run as `python -m bench.ceiling KIND FOLDER PARTS SECONDS`; it prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

from bench.bodies import Bodies, Reader
from bench.payloads import PAYLOADS, Reading
from bench.running import ROOT, clean_environment

TOGETHER = 16  # bodies handed over at once: the service, too, decodes trace requests that wait in one call
_WARM = 3  # bodies that pay for imports


def rows_per_cpu_s(bodies: Bodies, seconds: float) -> float:
    """Measure in a fresh process, for at most so many CPU seconds or until all bodies were decoded once."""
    arguments = [bodies.kind, str(bodies.folder), str(bodies.parts), str(seconds)]
    command = [sys.executable, "-m", "bench.ceiling", *arguments]
    answer = subprocess.run(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, check=True)
    return float(json.loads(answer.stdout)["rows_per_cpu_s"])


def main() -> int:
    """Decode each body once."""
    kind, folder, parts, seconds = sys.argv[1:]
    reading, reader = Reading(PAYLOADS[kind]), Reader(Path(folder), int(parts))
    bodies = iter(reader)
    for _ in range(min(_WARM, len(reader) - 1)):
        reading.rows_of(bytes(next(bodies)))
    rows, started_s = 0, time.process_time()
    while group := [bytes(body) for body in islice(bodies, TOGETHER)]:
        rows += reading.rows_of_all(group)
        if time.process_time() - started_s > float(seconds):
            break
    print(json.dumps({"rows_per_cpu_s": rows / (time.process_time() - started_s)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
