"""What only a process of its own can show: what an import loads, the flush at exit, a fork, another's provider."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # processes of their own

SDK = Path(__file__).parents[3] / "sdk"


def run(script, collector=None, timeout_s=30):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SEAMARK_"))}
    environment |= {"PYTHONPATH": str(SDK), "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BLRP_SCHEDULE_DELAY": "60000"}
    environment |= {"URL": collector.url} if collector else {}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        timeout=timeout_s,
        capture_output=True,
        text=True,
    )


def test_the_import_is_light():
    done = run("""
        import sys, seamark_sdk
        heavy = {"numpy", "fastapi", "starlette", "duckdb", "pandas", "pyarrow", "grpc"} & set(sys.modules)
        sys.exit(f"loaded {sorted(heavy)}" if heavy else 0)
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_waits_is_sent_at_exit(collector):
    done = run(
        """
        import os, seamark_sdk
        sea = seamark_sdk.init(model="churn", endpoint=os.environ["URL"])
        sea.log_prediction({"a": 1}, 1)
    """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(collector.events) == 1


def test_exit_is_not_held_up_by_a_server_that_hangs(collector):
    collector.gate.clear()
    began = time.monotonic()
    done = run(
        """
        import os, seamark_sdk
        sea = seamark_sdk.init(model="churn", endpoint=os.environ["URL"])
        sea.log_prediction({"a": 1}, 1)
        sea.shutdown(0.5)
    """,
        collector,
    )
    assert done.returncode == 0
    assert time.monotonic() - began < 8  # the exporter alone would wait 10 s


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_another_instance_and_sends_only_its_own(collector):
    done = run(
        """
        import os, sys, seamark_sdk
        sea = seamark_sdk.init(model="churn", endpoint=os.environ["URL"])
        sea.log_prediction({"from": "before"}, 1)
        sea.flush()
        sea.log_prediction({"from": "parent"}, 1)
        child = os.fork()
        if child == 0:
            sea.log_prediction({"from": "child"}, 1)
            with sea._pipeline.tracer_provider.get_tracer("t").start_as_current_span("in-child"):
                pass
            os._exit(0 if sea.flush() and sea.dropped == 0 else 1)
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status) or not sea.flush())
    """,
        collector,
    )
    assert done.returncode == 0, done.stderr
    instances = {event[1]["seamark.features"]["from"]: event[3]["service.instance.id"] for event in collector.events}
    assert sorted(event[1]["seamark.features"]["from"] for event in collector.events) == ["before", "child", "parent"]
    assert instances["before"] == instances["parent"] != instances["child"]
    assert collector.spans[0][2]["service.instance.id"] == instances["child"]


def test_the_applications_own_provider_stays_and_its_spans_come_too(collector):
    done = run(
        """
        import os, sys, seamark_sdk
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        own = TracerProvider(resource=Resource.create({"service.name": "shop", "team": "a"}))
        trace.set_tracer_provider(own)
        sea = seamark_sdk.init(model="churn", version="3", endpoint=os.environ["URL"])
        assert trace.get_tracer_provider() is own
        with trace.get_tracer("t").start_as_current_span("work"):
            pass
        sys.exit(not sea.flush())
    """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ((span, _, resource),) = collector.spans
    assert span.name == "work"
    assert {k: resource[k] for k in ("service.name", "team", "seamark.model.name", "seamark.model.version")} == {
        "service.name": "shop",
        "team": "a",
        "seamark.model.name": "churn",
        "seamark.model.version": "3",
    }


def test_two_models_in_one_process_send_each_span_once(collector):
    done = run(
        """
        import os, sys, seamark_sdk
        from opentelemetry import trace
        one = seamark_sdk.init(model="one", endpoint=os.environ["URL"])
        two = seamark_sdk.init(model="two", endpoint=os.environ["URL"])
        one.log_prediction({"a": 1}, 1)
        two.log_prediction({"a": 1}, 1)
        with trace.get_tracer("t").start_as_current_span("work"):
            pass
        sys.exit(not (one.flush() and two.flush()))
    """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(event[3]["seamark.model.name"] for event in collector.events) == ["one", "two"]
    assert len(collector.spans) == 1


def test_what_waits_is_sent_when_uvicorn_is_told_to_stop(collector):
    done = run(
        """
        import asyncio, contextlib, os, signal, fastapi, uvicorn, seamark_sdk

        @contextlib.asynccontextmanager
        async def lifespan(app):
            sea.log_prediction({"a": 1}, 1)
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
            yield

        app = fastapi.FastAPI(lifespan=lifespan)
        sea = seamark_sdk.init(model="churn", endpoint=os.environ["URL"])
        sea.instrument(app)
        uvicorn.run(app, port=0, log_level="error")
    """,
        collector,
    )
    assert done.returncode == -15  # by the signal itself: nothing ran at exit
    assert len(collector.events) == 1
