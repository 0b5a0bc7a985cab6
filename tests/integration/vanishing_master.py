"""A Locust master that calls its first worker's run off and is gone at once, as one that was killed is.

`python vanishing_master.py` prints the port it listens at.
"""

from __future__ import annotations

import os
import time
from typing import Any

from locust.rpc import Message
from locust.rpc.zmqrpc import Server

PATIENCE_S = 60


def main() -> None:
    """Serve one worker: acknowledge it, give it its user, and stop it when it says hello."""
    server = Server("127.0.0.1", 0)
    print(server.port, flush=True)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        client, said = server.recv_from_client()
        if said.type == "client_ready":
            _send(server, client, "ack", {"index": 0})
            _send(server, client, "heartbeat", None)
            _send(server, client, "spawn", _job())
        if said.type == "seamark_to_master" and said.data["kind"] == "hello":
            _send(server, client, "seamark_to_worker", {"kind": "stop", "reason": "the run is over"})
            time.sleep(0.5)  # ZeroMQ sends from a thread of its own
            os._exit(0)


def _job() -> dict[str, Any]:
    job = {"timestamp": time.time(), "host": None, "stop_timeout": 0.0, "parsed_options": {}}
    return {**job, "user_classes_count": {"OpenLoopUser": 1}}


def _send(server: Any, client: str, kind: str, data: Any) -> None:
    server.send_to_client(Message(kind, data, client))


if __name__ == "__main__":
    main()
