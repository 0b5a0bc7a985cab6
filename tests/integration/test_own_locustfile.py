"""Locustfiles of the user's own under real Locust: unchanged, and shut in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.house import opened_services, served
from tests.integration import own_locustfiles as files
from tests.integration.test_locust_run import HEALTHY, Dial, Watcher, plan_for

from seamark.compute.verdict import judge
from seamark.core.findings import RunStatus
from seamark.core.load_traces import run_prefix, trace_id
from seamark.core.specs import LoadTestPlan, PayloadSpec, ShapeSpec
from seamark.core.thresholds import parse_threshold
from seamark.engine import loadtests
from seamark.engine.run_traces import seed_of
from seamark.runner import locust, own
from seamark.runner.order import LoadOrder, Progress, RunnerOutcome
from seamark.store import load_samples

pytestmark = [pytest.mark.slow, pytest.mark.paced]
HERE = Path(__file__).parent


@pytest.fixture
def dial() -> Iterator[Callable[..., Dial]]:
    servers: list[Dial] = []

    def start() -> Dial:
        process = subprocess.Popen([sys.executable, str(HERE / "dial_server.py")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        servers.append(Dial(**json.loads(process.stdout.readline()), process=process))
        return servers[-1]

    yield start
    for server in servers:
        server.process.terminate()
        server.process.wait()
        assert server.process.stdout is not None
        server.process.stdout.close()


class Place:
    """A data folder with a secret in it, the folder of locustfiles and a work folder, as the service has them."""

    def __init__(self, top: Path) -> None:
        self.data, self.own, self.work = top / "data", top / "data" / "loadtests", top / "data" / "run-1"
        self.own.mkdir(parents=True)
        self.work.mkdir()
        self.secret = self.data / "seamark.db"
        self.secret.write_text("hunter2")

    def run(
        self,
        target: str,
        text: str,
        *,
        count: int = 2,
        duration_s: float = 1.0,
        caps: Mapping[str, float] | None = None,
        watcher: Watcher | None = None,
        **more: Any,
    ) -> RunnerOutcome:
        (self.own / "shop.py").write_text(text)
        shape = ShapeSpec("users", {"count": count, "spawn_per_s": 50, "duration_s": duration_s})
        plan = LoadTestPlan("nightly", "m", target, PayloadSpec("rows"), shape, scenario="shop.py", **more)
        self.plan = plan
        origin = "/".join(target.split("/")[:3])
        order = LoadOrder(
            "r1", plan, (), (origin,), seed=1, caps=caps or {}, loadtests_dir=self.own, closed=(self.data,)
        )
        watcher = watcher or Watcher()
        return locust.run(order, work_dir=self.work, on_progress=watcher.on_progress, should_stop=watcher.should_stop)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(outcome: RunnerOutcome) -> Any:
    """What is asserted on, so that a failure shows all of it."""
    return outcome.error, outcome.aborted, outcome.unreachable, outcome.notes


def test_a_locustfile_runs_as_it_is_against_the_plans_target(dial: Callable[[], Dial], place: Place) -> None:
    server, watcher = dial(), Watcher()
    outcome = place.run(f"{server.origin}/v1", files.PLAIN, duration_s=2.0, watcher=watcher)
    assert told(outcome) == (None, None, None, outcome.notes)
    seen = server.set()
    assert outcome.samples.num_rows == seen["requests"] and seen["requests"] > 20
    assert {line["line"] for line in seen["last"]} == {"POST /v1/predict HTTP/1.1", "POST /v1/fast HTTP/1.1"}
    for request in seen["last"]:
        headers = request["headers"]
        assert headers["seamark-synthetic"] == "test"
        assert headers["baggage"] == "user_agent.synthetic.type=test,seamark.loadtest.run=r1"
        assert headers["traceparent"].startswith(f"00-{run_prefix('r1')}") and headers[
            "host"
        ] == server.origin.removeprefix("http://")
    rows = outcome.samples.to_pylist()
    assert {row["http_status"] for row in rows} == {200} and {row["error"] for row in rows} == {None}
    assert all(row["due_s"] == row["sent_s"] and row["latency_ms"] == row["service_latency_ms"] > 0 for row in rows)
    (segment,) = outcome.segments
    assert 2.0 <= segment.duration_s < 4.0 and len(watcher.seen) >= 2 and watcher.seen[-1].done == len(rows)
    verdict = judge(place.plan, outcome.samples, outcome.segments, **HEALTHY)
    assert verdict.status == RunStatus.PASSED and verdict.latency_ms.p50 == verdict.service_latency_ms.p50
    assert "closed loop" in outcome.notes[0] and not any("refused" in note for note in outcome.notes)


def test_each_sample_has_the_number_that_its_trace_is_made_of(dial: Callable[[], Dial], place: Place) -> None:
    server = dial()
    outcome = place.run(server.origin, files.NUMBERED)
    assert told(outcome) == (None, None, None, outcome.notes) and not any("raised" in note for note in outcome.notes)
    rows = outcome.samples.to_pylist()
    sent = {request["headers"]["traceparent"].split("-")[1]: request["line"] for request in server.set()["last"]}
    assert sent.pop("a" * 32) == "GET /within HTTP/1.1"
    numbers = [row["number"] for row in rows if row["number"] is not None]
    assert len(set(numbers)) == len(numbers) < len(rows) and set(numbers) == set(range(len(numbers)))
    assert set(sent) <= {trace_id("r1", 1, number) for number in numbers} and len(sent) > 5
    caught = {row["number"] for row in rows if row["error"] == "no"}
    of_caught = {trace_id("r1", 1, number) for number in caught if number is not None}
    assert {trace for trace, line in sent.items() if "/caught" in line} <= of_caught and None not in caught


def test_whatever_it_tries_it_reaches_nothing_but_its_target(
    dial: Callable[[], Dial], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = dial(), dial()
    monkeypatch.setenv("SEAMARK_DATABASE_URL", "postgresql://seamark:hunter2@db/seamark")
    monkeypatch.setenv("https_proxy", other.origin)
    server.set(status=302, location=f"{other.origin}/stolen")
    facts = {
        "other": f"{other.origin}/",
        "other_port": other.port,
        "port": server.port,
        "target": server.origin,
        "secret": str(place.secret),
        "unix": str(place.data / "unix.sock"),
    }
    (place.own / "facts.json").write_text(json.dumps(facts))
    outcome = place.run(server.origin, files.HOSTILE, count=1)
    assert told(outcome) == (None, None, None, outcome.notes)
    found = json.loads((place.work / own.FILES / "tried.json").read_text())

    assert len(found["tried"]) > 70 and found["held"] == []
    assert {name: words for name, words in found["tried"].items() if words.startswith("succeeded")} == {}
    of_the_sandbox = ("refused: ", "is not on the allow-list")
    otherwise = {name for name, words in found["tried"].items() if not any(part in words for part in of_the_sandbox)}
    harmless = {"user name", "unicode", "raise the limits", "other as proxy", "zeromq of Locust"}
    assert otherwise <= harmless, found["tried"]
    assert "hunter2" not in json.dumps(found["environ"]) and not any("proxy" in name for name in found["environ"])
    assert found["limits"]["RLIMIT_AS"] == [2 * 1024**3] * 2 and found["limits"]["RLIMIT_CORE"] == [0, 0]
    assert found["limits"]["RLIMIT_CPU"][0] <= own.OVERTIME_S + 37 and found["limits"]["RLIMIT_FSIZE"][0] == 1024**3

    assert other.set()["connections"] == 0
    assert place.secret.read_text() == "hunter2" and sorted(p.name for p in place.own.iterdir() if p.is_file()) == [
        "facts.json",
        "shop.py",
    ]
    # A redirect that leads away is a request that failed; it was made once, and not followed.
    assert all("is not on the allow-list" in row["error"] for row in outcome.samples.to_pylist())
    assert {line["line"] for line in server.set()["last"]} == {"GET / HTTP/1.1", "GET /moved HTTP/1.1"}
    assert any(note.startswith("refused (") for note in outcome.notes) and len(outcome.notes) <= locust.NOTES_MAX


def test_the_fast_client_follows_no_redirect_off_the_list_either(dial: Callable[[], Dial], place: Place) -> None:
    server, other = dial(), dial()
    server.set(status=307, location=f"{other.origin}/stolen")
    outcome = place.run(server.origin, files.PLAIN.replace("class Shop(HttpUser)", "class Shop(FastHttpUser)"))
    errors = {str(row["error"]) for row in outcome.samples.to_pylist()} - {"got 0"}  # the file's own words for it
    assert len(errors) == 1 and "is not on the allow-list" in errors.pop(), told(outcome)
    assert other.set()["connections"] == 0


def test_a_rate_cap_holds_its_users_back_and_a_shape_of_its_own_ends_it(dial: Callable[[], Dial], place: Place) -> None:
    server = dial()
    outcome = place.run(server.origin, files.SHAPED, count=5, duration_s=30.0, caps={server.origin: 20.0})
    assert told(outcome) == (None, None, None, outcome.notes)
    (segment,) = outcome.segments
    assert 1.6 <= segment.duration_s < 10.0, "the file's own shape ended the run"
    assert server.set()["requests"] <= 20 * (segment.duration_s + 0.1) + 5
    assert any("requests were held back to keep max_rps" in note for note in outcome.notes)
    assert server.set()["connections"] <= 5, "no more users than the plan says"
    latency_ms = outcome.samples["latency_ms"].to_pylist()
    assert sorted(latency_ms)[len(latency_ms) // 2] < 100, "waiting for the cap is none of the target's latency"


def test_what_goes_wrong_in_tasks_is_told_and_an_early_end_is_no_success(
    dial: Callable[[], Dial], place: Place
) -> None:
    outcome = place.run(dial().origin, files.TROUBLED, count=1, duration_s=30.0)
    assert outcome.error is None and outcome.aborted is not None, told(outcome)
    assert outcome.aborted.startswith("the locustfile ended the run after") and outcome.samples.num_rows == 6
    notes = "\n".join(outcome.notes)
    assert "raised in the locustfile (1 x): MemoryError (shop.py, line 16)" in notes
    assert "raised in the locustfile (1 x): KeyError: 'no such thing' (shop.py, line 18)" in notes


def test_a_file_that_leaves_the_process_is_told_apart_and_keeps_its_samples(
    dial: Callable[[], Dial], place: Place
) -> None:
    outcome = place.run(dial().origin, files.EXITS, count=1, duration_s=30.0)
    assert outcome.aborted is not None and "the locustfile ended" in outcome.aborted, told(outcome)
    assert outcome.samples.num_rows == 1


def test_an_endless_loop_ends_at_the_wall_clock_limit(
    dial: Callable[[], Dial], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "OVERTIME_S", 2.0)
    monkeypatch.setattr(locust, "STOP_GRACE_S", 0.3)
    outcome = place.run(dial().origin, files.ENDLESS, count=1, timeout_s=0.5)
    assert outcome.error == "the load generator was not done after 4 s", told(outcome)


def test_requests_that_a_frozen_target_owes_at_the_end_do_not_go_missing(
    dial: Callable[[], Dial], place: Place
) -> None:
    server = dial()

    def freeze(progress: Progress) -> bool:
        if progress.done:
            server.set(mode="hang")
        return False

    watcher = Watcher(freeze)
    outcome = place.run(server.origin, files.PLAIN, count=4, duration_s=2.0, timeout_s=1.0, watcher=watcher)
    assert told(outcome)[:3] == (None, None, None)
    errors = Counter(outcome.samples["error"].to_pylist())
    assert errors["stopped before an answer"] == 4 and errors[None] > 0, errors
    assert outcome.samples.num_rows == server.set()["requests"]
    assert outcome.segments[0].duration_s == 2.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_that_name\n", "No module named 'nothing_of_that_name' (shop.py, line 1)"),
        ("from locust import HttpUser\n", "shop.py defines no user"),
        ("import os\nos._exit(7)\n", "the load generator ended with code 7"),
    ],
)
def test_a_file_that_cannot_be_run_says_why(dial: Callable[[], Dial], place: Place, text: str, says: str) -> None:
    outcome = place.run(dial().origin, text)
    assert outcome.error is not None and says in outcome.error
    assert outcome.samples.num_rows == 0


def test_what_it_writes_between_the_lines_is_not_believed(dial: Callable[[], Dial], place: Place) -> None:
    outcome = place.run(dial().origin, files.FORGES)
    assert outcome.error == "the samples cannot be read: they are not as they were written", told(outcome)
    assert outcome.samples.num_rows == 0 and len(outcome.segments) == 1


def test_a_stop_ends_it_while_its_target_hangs_and_keeps_what_was_measured(
    dial: Callable[[], Dial], place: Place
) -> None:
    server = dial()

    def until(progress: Progress) -> bool:
        if progress.done > 5:
            server.set(mode="hang")
        return progress.done > 5 and progress.in_flight == 4

    stopper = Watcher(until)
    outcome = place.run(server.origin, files.PLAIN, count=4, duration_s=60.0, watcher=stopper)
    assert told(outcome)[:3] == (None, "stopped before its end", None) and stopper.seen[-1].t_s < 20
    errors = Counter(outcome.samples["error"].to_pylist())
    assert errors["stopped before an answer"] == 4 and errors[None] > 5


def test_an_abort_condition_ends_it(dial: Callable[[], Dial], place: Place) -> None:
    server = dial()
    server.set(status=500)
    condition = parse_threshold("error_ratio > 0.5 for 1s", with_hold=True)
    outcome = place.run(server.origin, files.PLAIN, duration_s=60.0, abort=(condition,))
    assert outcome.aborted == "the abort condition error_ratio > 0.5 for 1s was met", told(outcome)
    errors = Counter(outcome.samples["error"].to_pylist())
    assert errors["got 500"] > 0


def test_a_name_that_resolves_elsewhere_than_when_the_run_began_is_not_connected_to(
    dial: Callable[[], Dial], tmp_path: Path
) -> None:
    """Of a built-in scenario: the run began when localhost was 127.0.0.9; it is another address now."""
    server = dial()
    target = f"http://localhost:{server.port}/predict"
    order = LoadOrder(
        "r1",
        plan_for(target, 20, 30),
        ({"x": 1},),
        (f"http://localhost:{server.port}",),
        seed=7,
        addresses={"localhost": ("127.0.0.9",)},
    )
    watcher = Watcher()
    outcome = locust.run(order, work_dir=tmp_path, on_progress=watcher.on_progress, should_stop=watcher.should_stop)
    assert outcome.unreachable is not None
    assert "localhost resolved to 127.0.0.9 when the run began and to " in outcome.unreachable
    assert server.set()["connections"] == 0

    again = replace(order, addresses=None)
    (tmp_path / "again").mkdir()
    shorter = replace(again, plan=plan_for(target, 20, 1))
    outcome = locust.run(shorter, work_dir=tmp_path / "again", on_progress=lambda _: None, should_stop=lambda: False)
    assert set(outcome.samples["error"].to_pylist()) == {None} and server.set()["requests"] == 20


def test_a_target_whose_name_is_a_way_around_is_refused_before_locust_starts(tmp_path: Path) -> None:
    plan = plan_for("http://2130706433:9/predict", 20, 1)
    order = LoadOrder("r1", plan, ({"x": 1},), ("http://2130706433:9",), seed=7)
    outcome = locust.run(order, work_dir=tmp_path, on_progress=lambda _: None, should_stop=lambda: False)
    assert outcome.unreachable is not None and "a loopback address behind a name" in outcome.unreachable
    assert list(tmp_path.iterdir()) == []


def test_a_built_in_scenario_keeps_to_the_cap_whatever_its_plan_says(dial: Callable[[], Dial], tmp_path: Path) -> None:
    """A plan like this is refused before; the generator does not rely on it."""
    server = dial()
    plan = plan_for(f"{server.origin}/predict", 100, 2)
    order = LoadOrder("r1", plan, ({"x": 1},), (server.origin,), seed=7, caps={server.origin: 20.0})
    outcome = locust.run(order, work_dir=tmp_path, on_progress=lambda _: None, should_stop=lambda: False)
    errors = Counter(outcome.samples["error"].to_pylist())
    assert set(errors) == {None, "not sent: the target takes at most 20 requests/s (max_rps)"}
    assert server.set()["requests"] == errors[None] <= 20 * (2 + 2) + 1 and sum(errors.values()) == 200
    verdict = judge(plan, outcome.samples, outcome.segments, **HEALTHY)
    assert verdict.status == RunStatus.INCONCLUSIVE and "could be sent" in verdict.reason


def test_users_of_several_workers_are_held_back_together(dial: Callable[[], Dial], tmp_path: Path) -> None:
    server = dial()
    shape = ShapeSpec("users", {"count": 6, "spawn_per_s": 50, "duration_s": 2})
    plan = replace(plan_for(f"{server.origin}/predict", 1, 1, workers=2), shape=shape)
    order = LoadOrder("r1", plan, ({"x": 1},), (server.origin,), seed=7, caps={server.origin: 20.0})
    outcome = locust.run(order, work_dir=tmp_path, on_progress=lambda _: None, should_stop=lambda: False)
    assert told(outcome)[:3] == (None, None, None)
    assert 20 <= server.set()["requests"] == outcome.samples.num_rows <= 20 * (2 + 2) + 2
    [note] = outcome.notes
    assert note.endswith("requests were held back to keep max_rps of targets.allow") and int(note.split()[0]) > 0


def test_a_plan_in_seamark_yaml_runs_it_and_its_report_tells_the_notes(
    dial: Callable[[], Dial], tmp_path: Path
) -> None:
    server = dial()
    with opened_services(tmp_path) as services:
        now = services.clock.now()
        services.loadtests_dir.mkdir(exist_ok=True)
        (services.loadtests_dir / "shop.py").write_text(files.PLAIN)
        services.configuration.apply(
            f"""
models: [{{name: m}}]
targets: {{allow: [{{url: "{server.origin}", max_rps: 50, until: {now.date()}}}]}}
loadtests:
  - name: shop
    model: m
    target: {server.origin}
    scenario: shop.py
    shape: {{users: {{count: 2, spawn_per_s: 10, duration_s: 1}}}}
""",
            now,
        )
        run = loadtests.enqueue(services, "shop", now)
        assert loadtests.work(services, now, lambda: False)
        ended = services.catalog.runs.get(run.id)
        assert ended.status == RunStatus.PASSED and ended.verdict is not None, ended.reason
        assert ended.verdict.requests == server.set()["requests"] > 5
        with served(services) as client:
            assert client.get(f"/api/v1/runs/{run.id}").json()["notes"] == list(ended.verdict.notes)
            assert client.get(f"/api/v1/runs/{run.id}/traces").json()["requests"] == ended.verdict.requests
            traces = {request["headers"]["traceparent"][3:35] for request in server.set()["last"]}
            numbers = load_samples.samples(services.lake, run.id)["number"].to_pylist()
            assert traces <= {trace_id(run.id, seed_of(run.id), number) for number in numbers}
            for report in ("report.md", "report.html"):
                assert "closed loop: latency counts from the send" in client.get(f"/api/v1/runs/{run.id}/{report}").text
            (services.loadtests_dir / "shop.py").unlink()
            again = loadtests.enqueue(services, "shop", now)
            loadtests.work(services, now, lambda: False)
            assert "there is no file shop.py" in client.get(f"/api/v1/runs/{again.id}").json()["reason"]
