"""A Prometheus is asked beside the ticks: where it is allowed, at a checked address, within bounds of time and size."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.lake_rows import AT

from seamark.core.advice import AdviceInput
from seamark.core.specs import AutoscaleSpec, ModelSpec, PrometheusInput
from seamark.engine.inputs import FRESH_S, HEARD_S
from seamark.engine.prometheus_inputs import Questions
from seamark.engine.replicas import read_replicas
from seamark.engine.services import Services
from seamark.runner import addresses
from seamark.wire.prometheus import read_number

Answer = Callable[[str], tuple[int, dict[str, str], bytes]]


def vector(*values: str) -> bytes:
    result = [{"metric": {"n": str(n)}, "value": [1.5, value]} for n, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


class Server:
    """Answers queries as a test wants it, on loopback."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []  # path, query, Host
        self.answer: Answer = lambda query: (200, {}, vector("3"))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["query"][0]
                outer.asked.append((self.path, query, self.headers["Host"]))
                status, headers, body = outer.answer(query)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://localhost:{self.port}"
        self.thread = Thread(target=self.http.serve_forever, args=(0.02,))


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    one.thread.start()
    yield one
    one.http.shutdown()
    one.thread.join()
    one.http.server_close()


@pytest.fixture
def services(shared: tuple[Services, object]) -> Services:
    shared[0].remembered.prometheus = {}
    return shared[0]


def configure(services: Services, url: str, allow: str | None = None, models: int = 1) -> None:
    wanted = [f"{{name: m{n}, autoscale: {{replicas: {{prometheus: '{url}', query: q{n}}}}}}}" for n in range(models)]
    services.configuration.apply(f"models: [{', '.join(wanted)}]\ntargets: {{prometheus: ['{allow or url}']}}", AT)


def found(services: Services, after_s: float = 0.0) -> AdviceInput:
    spec = services.configuration.current().models[0]
    return read_replicas(services, spec, AT + timedelta(seconds=after_s), 7)


def test_a_number_is_taken_and_its_age_counts(services: Services, server: Server) -> None:
    configure(services, f"{server.url}/prom", allow=server.url)
    assert (found(services).state, found(services).note) == ("unknown", "not asked yet")
    Questions().tick(services, AT)
    one = found(services)
    assert (one.state, one.value, one.source, one.metric, one.at) == ("fresh", 3.0, "prometheus", "q0", AT)
    assert server.asked == [("/prom/api/v1/query", "q0", f"localhost:{server.port}")]
    assert (found(services, FRESH_S + 1).state, found(services, FRESH_S + 1).value) == ("stale", None)
    assert found(services, HEARD_S + 1).state == "unknown"
    assert found(services, -HEARD_S).state == "unknown", "a clock that went back"


def test_what_goes_wrong_is_told_beside_the_last_number(services: Services, server: Server) -> None:
    configure(services, server.url)
    questions = Questions()
    questions.tick(services, AT)
    server.answer = lambda query: (503, {}, b"")
    questions.tick(services, AT)
    assert (found(services).value, found(services).note) == (3.0, f"{server.url} answered 503")
    server.answer = lambda query: (200, {}, vector())
    questions.tick(services, AT)
    assert found(services, FRESH_S + 1).note == "the query has no series"
    server.answer = lambda query: (200, {}, vector("4"))
    questions.tick(services, AT)
    assert (found(services).value, found(services).note) == (4.0, None)


def test_redirects_endless_bodies_and_keys_are_not_followed(services: Services, server: Server) -> None:
    configure(services, server.url)
    for answer, told in (
        ((302, {"Location": "http://169.254.169.254/"}, b""), "answered 302; redirects are not followed"),
        ((200, {}, b" " * 300_000), "answered more than 256 KiB"),
        ((401, {}, b""), "answered 401"),
        ((200, {"Content-Length": "900"}, b"{}"), "broke"),
        ((400, {}, b'{"status":"error","error":"parse error"}'), "Prometheus says 'parse error'"),
    ):
        server.answer = lambda query, answer=answer: answer  # type: ignore[misc]
        server.asked.clear()
        Questions().tick(services, AT)
        assert told in (found(services).note or ""), answer
        assert found(services).value is None and len(server.asked) == 1


def test_a_dead_prometheus_costs_one_question_a_round(services: Services, server: Server) -> None:
    configure(services, server.url, models=50)
    server.answer = lambda query: (500, {}, b"")
    Questions().tick(services, AT)
    assert len(server.asked) == 1
    assert {one.problem for one in services.remembered.prometheus.values()} == {f"{server.url} answered 500"}
    server.answer = lambda query: (200, {}, vector(query[1:]))
    Questions().tick(services, AT)
    assert sorted(one.value or 0.0 for one in services.remembered.prometheus.values()) == list(range(50))


def test_a_round_ends_in_time_and_the_next_goes_on(services: Services, server: Server) -> None:
    configure(services, server.url, models=10)
    questions, begun = Questions(), services.clock.now()

    def slow(query: str) -> tuple[int, dict[str, str], bytes]:
        services.clock.advance(4.5)  # type: ignore[attr-defined]
        return 200, {}, vector("1")

    server.answer = slow
    questions.tick(services, AT)
    first = [query for _, query, _ in server.asked]
    questions.tick(services, AT)
    services.clock.advance((begun - services.clock.now()).total_seconds())  # type: ignore[attr-defined]
    assert len(first) == 7
    assert {query for _, query, _ in server.asked} == {f"q{number}" for number in range(10)}


def test_nobody_is_asked_who_is_not_allowed_or_hides_behind_a_name(
    services: Services, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(services, server.url)
    spec = ModelSpec("m0", autoscale=AutoscaleSpec(replicas=PrometheusInput("http://elsewhere.test", "q0")))
    config = services.configuration.current()
    monkeypatch.setattr(services.configuration, "current", lambda: type(config)(models=(spec,)))
    Questions().tick(services, AT)
    assert found(services).note == "http://elsewhere.test is not on targets.prometheus"
    for address in ("169.254.169.254", "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"):
        allowed = type(config)(models=(spec,), prometheus_allow=("http://elsewhere.test",))
        monkeypatch.setattr(services.configuration, "current", lambda allowed=allowed: allowed)
        monkeypatch.setattr(addresses, "look_up", lambda host, address=address: [address])
        monkeypatch.setattr(addresses.pin, "__defaults__", ((), addresses.look_up))
        Questions().tick(services, AT)
        assert "elsewhere.test resolves to" in (found(services).note or "")
    assert server.asked == []


@pytest.mark.parametrize(
    "body, told",
    [
        (vector("NaN"), "no count"),
        (vector("+Inf"), "no count"),
        (vector("-1"), "no count"),
        (vector("1", "2"), "2 series; make it one"),
        (vector("one"), "none of Prometheus's query API"),
        (b'{"status":"success","data":{"resultType":"matrix","result":[]}}', "answers a 'matrix'"),
        (b'{"status":"success","data":{"resultType":"vector","result":[5]}}', "none of Prometheus's"),
        (b'{"status":"success","data":[]}', "answers a None"),
        (b"[]", "none of Prometheus's"),
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_an_answer_that_is_no_number_says_why(body: bytes, told: str) -> None:
    value, problem = read_number(body)
    assert value is None and told in (problem or "")


def test_a_scalar_is_a_number() -> None:
    assert read_number(b'{"status":"success","data":{"resultType":"scalar","result":[1.5,"4"]}}') == (4.0, None)
