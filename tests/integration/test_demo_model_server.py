"""The demo's model server, traffic and receiver as real processes; what they send is read by the service's wire."""

import gzip
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from demo import data
from demo.children import Failed, Family, free_port, wait_until
from demo.receiver import Receiver
from demo.story import MODEL, config_text

from seamark.wire.otlp import Encoding, decode_logs, decode_traces

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
RECEIVED_AT = datetime(2026, 1, 31, tzinfo=UTC)


class Inbox(http.server.ThreadingHTTPServer):
    """Takes OTLP and labels like Seamark would, and keeps them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), InboxHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.bodies = []  # (path, body)

    def tables(self, name):
        decoded = []
        for path, body in list(self.bodies):
            if path == "/v1/traces":
                decoded.append(decode_traces(body, Encoding.PROTOBUF, received_at=RECEIVED_AT))
            elif path == "/v1/logs":
                new_id = lambda: uuid.uuid4().hex
                decoded.append(decode_logs(body, Encoding.PROTOBUF, received_at=RECEIVED_AT, new_id=new_id))
        assert not [refusal for one in decoded for refusal in one.refusals]
        return [row for one in decoded if name in one.tables for row in one.tables[name].to_pylist()]

    def schemas(self):
        bodies = [body for path, body in list(self.bodies) if path == "/v1/logs"]
        made = [decode_logs(b, Encoding.PROTOBUF, received_at=RECEIVED_AT, new_id=lambda: "x") for b in bodies]
        return {schema for one in made for _, schema in one.schemas}

    @property
    def labels(self):
        return [label for path, body in list(self.bodies) if path == "/api/v1/labels" for label in json.loads(body)]


class InboxHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))
        accepted = len(json.loads(body)) if self.path == "/api/v1/labels" else 0
        answer = json.dumps({"accepted": accepted, "rejected": [], "ids": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.fixture(scope="module")
def inbox():
    with serving(Inbox()) as server:
        yield server


@pytest.fixture(scope="module")
def model_server(tmp_path_factory, inbox):
    family = Family(tmp_path_factory.mktemp("demo"))
    port = free_port(0, set())
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": inbox.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BLRP_SCHEDULE_DELAY": "50",
        "MODEL_VERSION": "7",
    }
    child = family.start(
        "model-server", [sys.executable, str(DEMO / "model_server.py"), "--port", str(port)], environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("the model server answers", lambda: answers(f"{url}/healthz"), 60, child.check)
        yield url
    finally:
        assert family.stop() == {"model-server": -signal.SIGTERM}, child.tail()  # as uvicorn ends


def answers(url):
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def eventually(condition, timeout_s=20):
    wait_until("it", condition, timeout_s, lambda: None)


@pytest.fixture(scope="module")
def holdout():
    return data.load()[1]


# --- the data ----------------------------------------------------------------------------------------------------


def test_the_data_are_whole_and_always_the_same():
    training, holdout = data.load()
    again, _ = data.load()
    assert (len(training.rows), len(holdout.rows)) == (14_000, 6_190)
    assert again.rows[:100] == training.rows[:100]
    assert set(training.rows[0]) == {*data.NUMERIC, *data.CATEGORICAL}
    assert 0.3 < np.mean(training.labels) < 0.4
    assert {row["self_rated_health"] for row in training.rows} == set(data.HEALTH)


def test_a_shift_moves_what_it_says_and_nothing_else(holdout):
    generator = np.random.default_rng(1)
    moved = [data.shifted(row, generator) for row in holdout.rows]
    for name in set(data.NUMERIC + data.CATEGORICAL) - set(data.SHIFTED):
        assert [row[name] for row in moved] == [row[name] for row in holdout.rows]
    assert np.mean([row["disea"] for row in moved]) > 1.5 * np.mean([row["disea"] for row in holdout.rows])
    worse = np.mean(
        [a["self_rated_health"] != b["self_rated_health"] for a, b in zip(moved, holdout.rows, strict=True)]
    )
    assert 0.45 < worse < 0.55
    assert min(row["disea"] for row in moved) >= 0


# --- the model server --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_answers_arrive_as_spans_and_predictions_that_the_service_reads(model_server, inbox, holdout):
    mine = {}
    with httpx.Client(base_url=model_server, trust_env=False) as http:
        for row in holdout.rows[:20]:
            answer = http.post("/predict", json=row)
            assert answer.status_code == 200, answer.text
            mine[answer.json()["prediction_id"]] = answer.json()
    eventually(lambda: mine.keys() <= {row["prediction_id"] for row in inbox.tables("predictions")})
    rows = {row["prediction_id"]: row for row in inbox.tables("predictions") if row["prediction_id"] in mine}
    for prediction_id, answer in mine.items():
        row = rows[prediction_id]
        assert (row["model"], row["version"], row["synthetic"]) == (MODEL, "7", False)
        assert row["prediction_number"] == answer["prediction"]
        assert json.loads(row["scores"]) == pytest.approx(answer["scores"])
    (schema,) = inbox.schemas()
    assert (set(schema.numeric), set(schema.categorical)) == (set(data.NUMERIC), set(data.CATEGORICAL))
    eventually(lambda: {r["trace_id"] for r in rows.values()} <= {s["trace_id"] for s in inbox.tables("spans")})
    span = next(s for s in inbox.tables("spans") if s["trace_id"] == rows[next(iter(mine))]["trace_id"])
    assert (span["model"], span["version"], span["route"]) == (MODEL, "7", "/predict")
    assert span["is_request"]
    assert not span["failed"]


@pytest.mark.slow
def test_a_replayed_row_is_taken_and_marked_synthetic(model_server, inbox, holdout):
    headers = {"User-Agent": "seamark-loadtest/0.1", "seamark-synthetic": "test"}
    answer = httpx.post(f"{model_server}/predict", json=holdout.rows[0], headers=headers, trust_env=False).json()
    mine = answer["prediction_id"]
    eventually(lambda: any(row["prediction_id"] == mine for row in inbox.tables("predictions")))
    (row,) = [row for row in inbox.tables("predictions") if row["prediction_id"] == mine]
    assert row["synthetic"]
    eventually(lambda: any(span["trace_id"] == row["trace_id"] for span in inbox.tables("spans")))
    assert all(span["synthetic"] for span in inbox.tables("spans") if span["trace_id"] == row["trace_id"])


@pytest.mark.slow
def test_a_fault_breaks_it_and_an_empty_one_mends_it(model_server, inbox, holdout):
    def ask():
        return httpx.post(f"{model_server}/predict", json=holdout.rows[0], trust_env=False, timeout=10)

    def fault(document):
        return httpx.post(f"{model_server}/fault", json=document, trust_env=False)

    failed_before = sum(span["failed"] for span in inbox.tables("spans"))
    try:
        assert fault({"error_ratio": 1.0, "delay_ms": 50}).status_code == 200
        began = time.monotonic()
        assert ask().status_code == 500
        assert time.monotonic() - began >= 0.05
    finally:
        fault({})
    assert ask().status_code == 200
    assert fault({"error_ratio": 2}).status_code == 422
    eventually(lambda: sum(span["failed"] for span in inbox.tables("spans")) == failed_before + 1)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"disea": "many"}, {"self_rated_health": "splendid"}, {"extra": 1}, {"lpi": None}])
def test_what_it_was_not_trained_on_is_refused(model_server, holdout, change):
    answer = httpx.post(f"{model_server}/predict", json={**holdout.rows[0], **change}, trust_env=False)
    assert answer.status_code == 422


# --- traffic and receiver ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_traffic_obeys_shifts_labels_most_and_ends_with_its_input(model_server, inbox, tmp_path):
    family = Family(tmp_path)
    places = ["--target", model_server, "--seamark", inbox.url, "--rps", "40", "--obey"]
    child = family.start("traffic", [sys.executable, str(DEMO / "traffic.py"), *places], stdin=True)

    def counts():
        lines = child.log.read_text().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].endswith("}") else {"answered": 0, "labels": 0}

    before = len(inbox.tables("predictions"))
    wait_until("traffic", lambda: counts()["answered"] > 20, 20, child.check)
    child.tell("shift")
    wait_until("labels", lambda: counts()["labels"] > 60 and counts()["shifted"], 20, child.check)
    child.process.stdin.close()
    assert child.process.wait(15) == 0, child.tail()
    family.stop()
    last = counts()
    assert last["failed"] == last["not_sent"] == 0
    assert last["labels"] < last["answered"]
    eventually(lambda: len(inbox.tables("predictions")) >= before + last["answered"])
    sent = [row["numeric"] for row in inbox.tables("predictions")[before:]]
    disea = sorted(data.NUMERIC).index("disea")
    assert np.mean([row[disea] for row in sent[-40:]]) > 1.3 * np.mean([row[disea] for row in sent[:15]])
    labels = inbox.labels
    assert len(labels) == last["labels"]
    assert {label["model"] for label in labels} == {MODEL}
    assert {label["label"] for label in labels} == {0, 1}
    known = {row["prediction_id"] for row in inbox.tables("predictions")}
    assert {label["prediction_id"] for label in labels} <= known


def test_the_receiver_keeps_each_occasion_once_and_shows_it():
    alert = {
        "key": "k1",
        "status": "firing",
        "labels": {"alertname": "SeamarkDrift", "model": "<b>"},
        "annotations": {"description": "drifted: disea"},
    }
    with serving(Receiver(0)) as receiver:
        url = f"http://127.0.0.1:{receiver.server_address[1]}"
        for sent in (alert, alert, {**alert, "key": "k2", "status": "resolved"}):
            assert httpx.post(url, json=sent, trust_env=False).status_code == 200
        for bad in (b"[]", b"{", b"\xff", b"[" * 100_000):
            assert httpx.post(url, content=bad, trust_env=False).status_code == 400
        got = httpx.get(f"{url}/alerts", trust_env=False).json()
        page = httpx.get(url, trust_env=False).text
    assert [(one["key"], one["status"]) for one in got] == [("k1", "firing"), ("k2", "resolved")]
    assert "drifted: disea" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


# --- children and configuration ----------------------------------------------------------------------------------


def test_a_child_that_ignores_the_request_to_stop_is_ended_with_its_own_children(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.children.STOP_S", 0.3)
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "grandchild = os.fork()\n"
        "print(grandchild, flush=True) if grandchild else None\n"
        "time.sleep(60)\n"
    )
    family = Family(tmp_path)
    child = family.start("stubborn", [sys.executable, "-c", script])
    wait_until("it", lambda: child.log.read_text().endswith("\n"), 10, child.check)
    grandchild = int(child.log.read_text())
    assert family.stop() == {"stubborn": -signal.SIGKILL}

    def gone():
        try:
            os.kill(grandchild, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{grandchild}/stat")
        return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z"

    eventually(gone, 5)


def test_a_child_that_ends_by_itself_is_told(tmp_path):
    family = Family(tmp_path)
    child = family.start("short", [sys.executable, "-c", "print('bye'); raise SystemExit(3)"])
    with pytest.raises(Failed, match="short ended by itself with exit code 3"):
        wait_until("never", lambda: False, 10, family.check)
    assert "bye" in child.tail()
    assert family.stop() == {"short": 3}


@pytest.mark.slow
def test_a_model_server_whose_port_is_taken_ends_at_once(model_server, tmp_path):
    family = Family(tmp_path)
    port = model_server.rsplit(":", 1)[1]
    child = family.start("second", [sys.executable, str(DEMO / "model_server.py"), "--port", port])
    with pytest.raises(Failed, match="second ended by itself with exit code 1"):
        wait_until("never", lambda: child.said(model_server), 30, family.check)
    family.stop()


def test_a_taken_port_is_passed_over():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        wanted = busy.getsockname()[1]
        taken = set()
        assert free_port(wanted, taken) != wanted
        assert len(taken) == 1


def test_the_configuration_is_one_that_the_service_takes(tmp_path):
    urls = {name: f"http://127.0.0.1:{port}" for name, port in (("model", 8080), ("receiver", 8090))}
    path = tmp_path / "seamark.yaml"
    path.write_text(config_text(urls, datetime(2026, 1, 31, 12, 7, tzinfo=UTC), "http://127.0.0.1:9093"))
    check = [sys.executable, "-c", "from seamark.cli import main; main()", "check", "-f", str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'service'}{os.pathsep}{ROOT / 'sdk'}"}
    done = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 model, 2 load tests, 2 channels" in done.stdout


def test_the_readmes_lines_are_those_of_the_model_server():
    source = [line.strip() for line in (DEMO / "model_server.py").read_text().splitlines()]
    shown = re.search(r"```python\n(.*?)```", (ROOT / "sdk" / "README.md").read_text(), re.DOTALL).group(1)
    lines = [line.strip() for line in shown.splitlines() if re.search(r"\bsea(mark_sdk)?\b", line)]
    assert len(lines) == 5
    for line in lines[:-1]:  # the last is log_label, which is the traffic's part in the demo
        assert line in source, f"{line!r} is not in demo/model_server.py"
