"""A webhook receiver, as a chat or an on-call service would be one: keeps the alerts it was sent and shows them."""

from __future__ import annotations

import argparse
import html
import json
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY_BYTES_MAX = 1_000_000
KEPT_MAX = 1_000

_STYLE = (
    "body{font:16px system-ui;margin:2rem;color-scheme:light dark}td,th{padding:.3rem 1rem .3rem 0;text-align:left}"
    ".firing{color:#c02020;font-weight:bold}.resolved{color:#208040;font-weight:bold}"
)


class Receiver(ThreadingHTTPServer):
    """POST / takes an alert; GET / shows all of them to people, GET /alerts as JSON, oldest first."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._alerts: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What was received, oldest first."""
        with self._lock:
            return list(self._alerts)

    def take(self, alert: dict[str, Any]) -> None:
        """Keep an alert. One key is one occasion: a delivery that is repeated with it counts once."""
        key = str(alert.get("key"))
        with self._lock:
            if key not in self._keys:
                self._keys.add(key)
                self._alerts.append({**alert, "received_at": datetime.now(UTC).isoformat()})


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("content-length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, "text/plain", f"say content-length, at most {BODY_BYTES_MAX}")
            return
        try:
            alert = json.loads(self.rfile.read(length))
            if not isinstance(alert, dict):
                raise TypeError("not an object")
        except (ValueError, TypeError, RecursionError) as error:
            self._answer(400, "text/plain", f"send one JSON object: {error}")
            return
        self.server.take(alert)
        labels = alert.get("labels")
        print(f"{alert.get('status')} {labels.get('alertname') if isinstance(labels, dict) else labels}", flush=True)
        self._answer(200, "application/json", '{"status": "ok"}')

    def do_GET(self) -> None:
        if self.path == "/alerts":
            self._answer(200, "application/json", json.dumps(self.server.alerts))
        elif self.path == "/":
            self._answer(200, "text/html; charset=utf-8", _page(self.server.alerts))
        else:
            self._answer(404, "text/plain", "there is / for people and /alerts for programs")

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        return


def _page(alerts: list[dict[str, Any]]) -> str:
    rows = "".join(_line(alert) for alert in reversed(alerts))
    table = f"<table><tr><th>at<th>state<th>alert<th>why</tr>{rows}</table>" if rows else "<p>Nothing so far.</p>"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
    return f"{head}<title>Alerts received</title><style>{_STYLE}</style><h1>Alerts received</h1>{table}</html>"


def _line(alert: dict[str, Any]) -> str:
    labels, notes = _object(alert.get("labels")), _object(alert.get("annotations"))
    state = html.escape(str(alert.get("status")))
    named = " ".join(str(labels[key]) for key in ("alertname", "slo", "severity", "model") if key in labels)
    why = notes.get("description") or notes.get("summary") or ""
    at = html.escape(str(alert["received_at"])[11:19])
    return f"<tr><td>{at}<td class={state!r}>{state}<td>{html.escape(named)}<td>{html.escape(str(why))}</tr>"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def main() -> None:
    """Receive until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8090)
    receiver = Receiver(parser.parse_args().port)
    print(f"receiving at http://127.0.0.1:{receiver.server_address[1]}", flush=True)
    try:
        receiver.serve_forever(0.1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
