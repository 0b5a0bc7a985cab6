"""What Locust is started with for a locustfile of the user's own: shut the sandbox, then load that file, unchanged.

Started by own_start.py in a work folder that holds the order. The file's own users and shape are passed on to Locust
as if they stood here; what they do is told on stdout as JSON lines, and written to a samples file in the folder.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

import gevent
from locust import LoadTestShape, User, events

from seamark_load.client import guard_connections
from seamark_load.every_request import EveryRequest
from seamark_load.guard import Guard, origin_of
from seamark_load.order import SAMPLES
from seamark_load.own import Recording
from seamark_load.own_file import NotLoaded, load, read_own_order
from seamark_load.pinned import Pins
from seamark_load.sandbox import Limits, confine
from seamark_load.session import lines_to_service
from seamark_load.watch import die_with_parent

WORK_DIR = Path.cwd()
ORDER = read_own_order(WORK_DIR)
die_with_parent(ORDER.parent_pid)
RECORDING = Recording(ORDER, lines_to_service(), WORK_DIR / SAMPLES)
PINS = Pins(ORDER.addresses)
REQUESTS = RECORDING.requests = EveryRequest(
    Guard(ORDER.allow),
    ORDER.caps,
    RECORDING.on_refused,
    RECORDING.on_cut_off,
    run_id=ORDER.run_id,
    seed=ORDER.seed,
)
REQUESTS.install()
guard_connections(PINS)
os.chdir("files")
# Locust has put the work folder on the path; the file's own working folder is the one below it.
sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.realpath(WORK_DIR)]

ORIGINS = [origin_of(url) for url in ORDER.allow]
events.init.add_listener(RECORDING.on_init)  # type: ignore[no-untyped-call]
events.test_start.add_listener(RECORDING.on_start)  # type: ignore[no-untyped-call]
events.request.add_listener(RECORDING.on_request)  # type: ignore[no-untyped-call]
events.user_error.add_listener(RECORDING.on_user_error)  # type: ignore[no-untyped-call]
events.quitting.add_listener(RECORDING.on_quitting)  # type: ignore[no-untyped-call]
atexit.register(RECORDING.at_exit)
# The limits have no name here: what has one could be changed by the file.
LANDLOCK = confine(
    Limits(
        write=os.path.realpath("."),
        own=os.path.realpath(ORDER.locustfile.parent),
        closed=ORDER.closed,
        endpoints=PINS.endpoints(ORIGINS),
        hosts=frozenset(origin.host for origin in ORIGINS),
        limit_s=ORDER.limit_s,
    ),
    RECORDING.on_refused,
)
RECORDING.fenced_by_kernel = LANDLOCK > 0
try:
    globals().update(load(ORDER.locustfile, User, LoadTestShape))
except NotLoaded as error:
    RECORDING.finish(error=str(error))
    gevent.sleep(0)
    sys.exit(1)
