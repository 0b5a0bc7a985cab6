"""Started programs become a story: traffic, drift, load tests, advice, alerts; each act ends when the API shows it.

Nothing here sleeps for a fixed time where there is something to see; what does not come before its deadline is Failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from demo import data
from demo.children import Child, Failed, Family, free_port, seamark_command, surroundings, wait_until

MODEL = "doctor-visits"
VERSION = "1"
CAPACITY, SMOKE = "doctor-visits-capacity", "doctor-visits-smoke"
RATE_RPS = 20.0
WINDOW_S = 30
OBEYED_S = 2  # in which the traffic does as it was told, and what was sent before is answered
RUN_LONGEST_S = 110.0  # the capacity search, from its cron instant to its verdict
AGAIN_BEFORE_S = 120.0  # a second capacity search begins before this, or not at all

FINAL = ("passed", "failed", "inconclusive", "aborted")


class Seamark:
    """The public API of the service, as CI would read it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=20.0, trust_env=False)

    def get(self, path: str, **params: str) -> Any:
        """GET a JSON document under /api/v1; None where there is nothing yet (404)."""
        answer = self._http.get(f"/api/v1{path}", params=params)
        if answer.status_code == 404:
            return None
        self._check(answer)
        return answer.json()

    def text(self, path: str, **params: str) -> str:
        """GET text from any path."""
        answer = self._http.get(path, params=params)
        self._check(answer)
        return answer.text

    def put_rows(self, path: str, rows: list[data.Row]) -> Any:
        """PUT rows as JSON under /api/v1."""
        answer = self._http.put(f"/api/v1{path}", json=rows, timeout=60.0)
        self._check(answer)
        return answer.json()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @staticmethod
    def _check(answer: httpx.Response) -> None:
        if not answer.is_success:
            raise Failed(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}")


@dataclass
class Notes:
    """What the proofs need to ask again: instants and ids, no figures."""

    normal_at: datetime | None = None  # the end of a window of traffic as trained
    drifted_at: datetime | None = None  # the end of a window of shifted traffic only
    capacity_run: str | None = None
    smoke_exit: int | None = None
    again_exit: int | None = None  # of a second capacity test, where there was one
    slo_fingerprint: str | None = None
    fault_at: datetime | None = None


@dataclass
class Story:
    """One telling. `say` prints a line of progress."""

    folder: Path
    say: Callable[[str], None]
    alertmanager: str | None = None
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        self._began_s = time.monotonic()
        taken: set[int] = set()
        self.ports = {n: free_port(p, taken) for n, p in (("seamark", 8000), ("model", 8080), ("receiver", 8090))}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.family = Family(self.folder)
        self.api = Seamark(self.urls["seamark"])
        self.traffic: Child | None = None
        self.cron_at: datetime | None = None

    def start(self) -> None:
        """Start the service, the model server and the webhook receiver, and wait until all three answer."""
        here = Path(__file__).resolve().parent
        serve = ["serve", "--data-dir", str(self.folder / "seamark-data"), "--port", str(self.ports["seamark"])]
        self.family.start("seamark", [*seamark_command(), *serve])
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.urls["seamark"],
            "OTEL_BSP_SCHEDULE_DELAY": "500",  # milliseconds: a demo should not wait for its telemetry
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
            "MODEL_VERSION": VERSION,
        }
        model = [sys.executable, str(here / "model_server.py"), "--port", str(self.ports["model"])]
        self.family.start("model-server", model, environment)
        self.family.start(
            "receiver", [sys.executable, str(here / "receiver.py"), "--port", str(self.ports["receiver"])]
        )
        paths = {"seamark": "/readyz", "model": "/healthz", "receiver": "/alerts"}
        for (name, path), child in zip(paths.items(), self.family.children, strict=True):
            # Its own word as well as an answer: another program may have been given the port a moment earlier.
            self._until(f"{name} has its port", partial(child.said, self.urls[name]), 45)
            self._until(f"{name} answers", partial(_answers, self.urls[name] + path), 45)
            self.say(f"{name} is up at {self.urls[name]}")

    def send_traffic(self) -> None:
        """Start the live traffic."""
        script = Path(__file__).resolve().parent / "traffic.py"
        places = ["--target", self.urls["model"], "--seamark", self.urls["seamark"]]
        command = [sys.executable, str(script), *places, "--rps", str(RATE_RPS), "--obey"]
        self.traffic = self.family.start("traffic", command, stdin=True)
        self.say(f"live traffic: {RATE_RPS:g} requests a second of hold-out rows; labels follow 3 s later for 85 %")

    def upload_reference(self) -> None:
        """Upload the training rows."""
        training, _ = data.load()
        answer = self.api.put_rows(f"/models/{MODEL}/reference", training.rows)
        self.say(f"reference: {answer['rows']:,} training rows uploaded")

    def apply(self) -> None:
        """Write seamark.yaml, with a cron line that comes within the demo, and apply it with the command line."""
        now = datetime.now(UTC)
        self.cron_at = (now + timedelta(seconds=20 + 59)).replace(second=0, microsecond=0)
        path = self.folder / "seamark.yaml"
        path.write_text(config_text(self.urls, self.cron_at, self.alertmanager))
        done = self._command("apply", "-f", str(path))
        if done.returncode:
            raise Failed(f"seamark apply exited with {done.returncode}: {done.stderr.strip()}")
        left_s = (self.cron_at - now).total_seconds()
        self.say(f"applied {path.name}; cron starts the capacity test at {self.cron_at:%H:%M} UTC, in {left_s:.0f} s")

    def see_no_drift(self) -> None:
        """Wait for a window full of traffic as trained, in which no feature drifts."""
        began = self._first_rows_at()
        seen = began + timedelta(seconds=WINDOW_S + 1)
        self._until("a window of normal traffic", lambda: datetime.now(UTC) >= seen, WINDOW_S + 15)

        def quiet() -> bool:
            at = datetime.now(UTC)
            found = self._drift(at)
            judged = [feature["drifted"] for feature in found["features"]] if found else []
            if judged and all(word is False for word in judged):
                self.notes.normal_at = at
                return True
            return False

        self._until("no feature of the normal traffic drifts", quiet, 20)
        self.say(f"traffic as trained: none of {len(data.NUMERIC + data.CATEGORICAL)} features drifts")

    def drift(self) -> None:
        """Shift two features, wait until exactly these are found, and until the alert was delivered.

        They are found as soon as enough of a window is shifted, when a few rows more or less still decide: rows that
        come late to that window may take it back. What is asked again is therefore the first window of shifted
        traffic only; its end does not depend on what was found.
        """
        self._traffic_must("shift")
        self.notes.drifted_at = datetime.now(UTC) + timedelta(seconds=OBEYED_S + WINDOW_S)
        self.say(f"the population changes: {' and '.join(data.SHIFTED)} shift")

        def found() -> bool:
            answer = self._drift(datetime.now(UTC))
            names = {feature["feature"] for feature in answer["features"] if feature["drifted"]} if answer else set()
            return names == set(data.SHIFTED)

        self._until(f"drift in {' and '.join(data.SHIFTED)} and nothing else", found, 60)
        self.say(f"drift found in {', '.join(sorted(data.SHIFTED))}; in nothing else")
        self._until("the drift alert is delivered", lambda: bool(self.received("SeamarkDrift", "firing")), 30)
        self.say("drift alert: firing, delivered")

    def capacity(self) -> None:
        """Wait for the run that cron starts, and for its verdict."""
        assert self.cron_at is not None
        left_s = max((self.cron_at - datetime.now(UTC)).total_seconds(), 0.0)
        self._until("cron starts the capacity test", lambda: self._scheduled_run() is not None, left_s + 20)
        self.say(f"the scheduler started the capacity test: {self.urls['seamark']}/runs/{self.notes.capacity_run}")
        run = self._ended(self.notes.capacity_run or "", RUN_LONGEST_S)
        self.say(f"capacity test {run['status']}: {run['reason']}")
        if run["status"] == "passed":
            told = run["capacity"]
            self.say(f"one replica carries {told['rps']:.0f} requests/s ({told['low']:.0f} at least)")
        elif time.monotonic() - self._began_s < AGAIN_BEFORE_S:
            self.say("once more, by the CI call: something else was at work on this machine")
            self.notes.again_exit = self._ci(CAPACITY, RUN_LONGEST_S)

    def break_model(self) -> None:
        """Make the model fail, wait until the objective's alert is delivered, and mend it."""
        self.notes.fault_at = datetime.now(UTC)
        self._fault(error_ratio=0.9, delay_ms=20)
        self.say("the model is broken on purpose: 9 in 10 requests fail")
        try:
            self._until("the SLO alert fires and is delivered", self._slo_fired, 60)
        finally:
            self._fault(error_ratio=0.0, delay_ms=0)
        self.say("SLO alert: firing, delivered; the model is mended")

    def ci_call(self) -> None:
        """Run the smoke test as CI would; once more where it did not pass the first time."""
        for _ in range(2):
            self.notes.smoke_exit = self._ci(SMOKE, 90.0)
            if self.notes.smoke_exit == 0:
                return

    def _ci(self, name: str, timeout_s: float) -> int:
        files = ("--junit", str(self.folder / "junit.xml"), "--markdown", str(self.folder / "report.md"))
        self.say(f"CI: seamark loadtest run {name} --wait --junit junit.xml --markdown report.md")
        done = self._command("loadtest", "run", name, "--wait", *files, timeout_s=timeout_s)
        told = (done.stdout.strip() or done.stderr.strip() or "nothing said").splitlines()[0]
        self.say(f"CI: exit code {done.returncode}; {told}")
        return done.returncode

    def recover(self) -> None:
        """Wait until the objective's alert is resolved and that was delivered."""
        self._until("the SLO alert resolves and that is delivered", self._slo_resolved, 75)
        self.say("SLO alert: resolved, delivered")

    def advice(self) -> None:
        """Wait for a recommendation that knows the measured capacity."""

        def known() -> bool:
            found = self.api.get(f"/models/{MODEL}/recommendation")
            return bool(found and found["state"] == "ok" and found["capacity_rps"])

        self._until("a recommendation from the measured capacity", known, 30)
        self.say(f"advice: {self.api.get(f'/models/{MODEL}/recommendation')['reason']}")

    def see_the_whole_window(self) -> None:
        """Wait until the window that is all shifted lies behind, with its rows; it mostly does."""
        assert self.notes.drifted_at is not None
        there = self.notes.drifted_at + timedelta(seconds=OBEYED_S)
        self._until("a window of shifted traffic", lambda: datetime.now(UTC) >= there, OBEYED_S + WINDOW_S + 15)

    def tell(self) -> None:
        """All acts, in an order that keeps the capacity test away from the others' measurements."""
        self.start()
        self.send_traffic()
        self.upload_reference()
        self.apply()
        assert self.cron_at is not None
        self.see_no_drift()
        # Seconds each takes, about. The alert needs half a minute to resolve, in which the others go on.
        acts = [(self.break_model, 20.0), (self.drift, 26.0)]
        while acts and (self.cron_at - datetime.now(UTC)).total_seconds() > acts[0][1]:
            acts.pop(0)[0]()
        self.capacity()
        for act, _ in acts:
            act()
        self.ci_call()
        self.advice()
        self.recover()
        self.see_the_whole_window()

    def received(self, name: str, status: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """What the webhook receiver got of one alert."""
        answer = httpx.get(f"{self.urls['receiver']}/alerts", timeout=5.0, trust_env=False)
        return [
            alert
            for alert in answer.json()
            if alert["labels"].get("alertname") == name
            and alert["status"] == status
            and (since is None or datetime.fromisoformat(alert["received_at"]) >= since)
        ]

    def stop(self) -> None:
        """End every child."""
        self.api.close()
        self.family.stop()

    def _until(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        def calm() -> bool:
            try:
                return condition()
            except httpx.HTTPError:
                return False  # a moment without an answer; the deadline counts

        wait_until(what, calm, timeout_s, self.family.check)

    def _command(self, *arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        command = [*seamark_command(), *arguments, "--url", self.urls["seamark"]]
        try:
            return subprocess.run(
                command, env=surroundings(), capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"seamark {' '.join(arguments[:3])}: no end within {timeout_s:.0f} s") from None

    def _traffic_must(self, word: str) -> None:
        assert self.traffic is not None
        self.traffic.tell(word)

    def _fault(self, **fault: float) -> None:
        httpx.post(f"{self.urls['model']}/fault", json=fault, timeout=10.0, trust_env=False).raise_for_status()

    def _drift(self, at: datetime) -> Any:
        return self.api.get(f"/models/{MODEL}/drift", at=at.isoformat(), window=f"{WINDOW_S}s")

    def _first_rows_at(self) -> datetime:
        """Wait for the first predictions; return when they were there."""

        def seen() -> bool:
            model = self.api.get(f"/models/{MODEL}")
            return bool(model and sum(version["predictions"] for version in model["versions"]))

        self._until("the first predictions arrive", seen, 20)
        return datetime.now(UTC)

    def _scheduled_run(self) -> str | None:
        runs = self.api.get(f"/loadtests/{CAPACITY}/runs") or []
        self.notes.capacity_run = next((run["id"] for run in runs if run["trigger"] == "schedule"), None)
        return self.notes.capacity_run

    def _ended(self, run_id: str, timeout_s: float) -> dict[str, Any]:
        self._until(f"run {run_id} ends", lambda: self.api.get(f"/runs/{run_id}")["status"] in FINAL, timeout_s)
        run: dict[str, Any] = self.api.get(f"/runs/{run_id}")
        return run

    def _slo_fired(self) -> bool:
        fresh = self.received("SeamarkSloBurnRate", "firing", self.notes.fault_at)
        paging = [a for a in fresh if a["labels"]["slo"] == "availability" and a["labels"]["severity"] == "page"]
        self.notes.slo_fingerprint = paging[0]["fingerprint"] if paging else None
        return bool(paging)

    def _slo_resolved(self) -> bool:
        ended = self.received("SeamarkSloBurnRate", "resolved", self.notes.fault_at)
        return any(alert["fingerprint"] == self.notes.slo_fingerprint for alert in ended)


def config_text(urls: dict[str, str], cron_at: datetime, alertmanager: str | None) -> str:
    """Return the seamark.yaml of the demo."""
    target = {"model": MODEL, "target": f"{urls['model']}/predict", "payload": {"replay": "1h"}}
    thresholds = ["p95(latency_ms) < 250", "error_ratio < 0.01"]
    channels = [{"name": "demo-receiver", "webhook": urls["receiver"]}]
    if alertmanager:
        channels.append({"name": "alertmanager", "alertmanager": alertmanager})
    document = {
        "models": [
            {
                "name": MODEL,
                # Twelve hours instead of a month: the burn windows shrink alike, and an outage shows within seconds.
                "slo": {"latency": "p95(latency_ms) < 250", "availability": 0.99, "over": "12h"},
                "drift": {"window": f"{WINDOW_S}s", "false_alarms": 0.001},
                "autoscale": {"min": 1, "max": 10, "cost_per_replica_hour": 0.10},
            }
        ],
        "loadtests": [
            {
                "name": CAPACITY,
                **target,
                "shape": {"capacity": {"start_rps": 40, "stop_rps": 400, "step_s": 1.5}},
                "thresholds": thresholds,
                "schedule": f"{cron_at.minute} {cron_at.hour} * * *",
                "timezone": "UTC",
            },
            {
                "name": SMOKE,
                **target,
                "shape": {"constant": {"rate_rps": 30, "duration_s": 8}},
                "thresholds": thresholds,
            },
        ],
        "targets": {"allow": [urls["model"]]},
        "alerts": {"channels": channels},
    }
    plain = json.loads(json.dumps(document))  # or YAML would write what is used twice as an alias
    return yaml.safe_dump(plain, sort_keys=False)


def _answers(url: str) -> bool:
    return httpx.get(url, timeout=2.0, trust_env=False).status_code == 200
