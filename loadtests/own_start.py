"""Locust's own command line -> Locust in one process, without ZeroMQ, whose connections no audit hook sees.

Locust loads ZeroMQ for runs of several processes. What was never loaded cannot be found by a locustfile either.
"""

from __future__ import annotations

import sys
from types import ModuleType

for name in ("zmq", "zmq.error", "zmq.green"):
    sys.modules[name] = ModuleType(name)

from locust.main import main  # noqa: E402 - it would load the real one

main()  # type: ignore[no-untyped-call]
