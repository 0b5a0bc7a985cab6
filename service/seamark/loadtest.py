"""`seamark loadtest`: a run asked for and followed to its verdict -> an exit code, and files for CI."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from seamark.calling import talks
from seamark.client import Client
from seamark.core.clock import SystemClock
from seamark.core.errors import ExitCode, InputRefused, StartRefused

RUN_EXIT = {
    "passed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "inconclusive": ExitCode.INCONCLUSIVE,
    "aborted": ExitCode.ABORTED,
}
JOIN_LOOK_S = 1.0
_WORDS = {True: "passed", False: "FAILED", None: "unknown"}


@click.group()
def loadtest() -> None:
    """Load tests."""


@loadtest.command("run")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait for the verdict; the exit code is the verdict.")
@click.option("--timeout", type=float, default=6 * 3600.0, show_default=True, help="Seconds to wait at most.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a Markdown summary here.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report here: one page that stands alone.")
@talks
def run(client: Client, name: str, *, wait: bool, timeout: float, **files: Path | None) -> None:
    """Run a load test. Exit 0 passed, 1 failed, 2 bad plan, 3 inconclusive, 4 aborted, 5 no answer."""
    found = client.post(f"/api/v1/loadtests/{client.quoted(name)}/runs")
    _say_where(client, found)
    if not (wait or any(files.values())):
        click.echo(found["id"])
        return
    found = _verdict(client, found, timeout)
    click.echo(f"{found['status']}: {found['reason']}")
    for threshold in found["thresholds"]:
        click.echo(f"  {_WORDS[threshold['passed']]:8}{threshold['text']}  (measured {_measured(threshold)})")
    if found.get("baseline"):
        click.echo(f"  baseline: {found['baseline']['reason']}")
    _write_files(client, found["id"], files)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _annotate(found)
    sys.exit(RUN_EXIT[found["status"]])


@loadtest.command("stop")
@click.argument("run_id")
@talks
def stop(client: Client, run_id: str) -> None:
    """Stop a run; it ends as aborted."""
    client.post(f"/api/v1/runs/{client.quoted(run_id)}/stop")
    click.echo(f"{run_id} is told to stop")


@loadtest.command("workers")
@click.argument("name")
@talks
def workers(client: Client, name: str) -> None:
    """Print a Kubernetes Job of a plan's remote workers."""
    click.echo(client.text(f"/api/v1/loadtests/{client.quoted(name)}/workers.yaml"), nl=False)


@loadtest.command("join")
@click.argument("name")
@click.option("--wait", type=float, default=0.0, show_default=True, help="Seconds to wait for a run to join.")
@talks
def join(client: Client, name: str, wait: float) -> None:
    """Send a share of a plan's run from this machine, and end with it. Exit 3 where there was none to join."""
    from seamark.runner import remote_worker

    found = _open_run(client, name, wait)
    if found is None:
        click.echo(f"no run of {name} takes workers", err=True)
        sys.exit(ExitCode.INCONCLUSIVE)
    click.echo(f"joining run {found['run_id']} at {found['host']}:{found['port']}", err=True)
    code = remote_worker.join(found["host"], found["port"], found["token"])
    sys.exit(ExitCode.OK if code == 0 else ExitCode.ABORTED)


def _open_run(client: Client, name: str, wait_s: float) -> dict[str, Any] | None:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + wait_s
    while True:
        try:
            return dict(client.get(f"/api/v1/loadtests/{client.quoted(name)}/join"))
        except InputRefused:
            client.get(f"/api/v1/loadtests/{client.quoted(name)}")  # a plan that is not there is refused here
            if clock.monotonic_s() >= deadline_s:
                return None
        asyncio.run(clock.sleep(JOIN_LOOK_S))


def _verdict(client: Client, found: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Follow a run, and the runs that make it again, to the last one's end. A signal stops what is under way."""
    while True:
        try:
            with _sigterm_interrupts():
                found = client.wait_for_run(found["id"], timeout_s, _show)
        except KeyboardInterrupt:
            click.echo("stopping the run", err=True)
            client.post(f"/api/v1/runs/{found['id']}/stop")
            return client.wait_for_run(found["id"], timeout_s, _show)
        if found["retried_as"] is None:
            return found
        click.echo(f"{found['status']}: {found['reason']}", err=True)
        found = client.get(f"/api/v1/runs/{found['retried_as']}")
        _say_where(client, found)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A job that CI cancels is sent SIGTERM: its load must not go on."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_where(client: Client, found: dict[str, Any]) -> None:
    again = f", attempt {found['attempt']}" if found["attempt"] > 1 else ""
    click.echo(f"run {found['id']} of {found['plan']}{again}: {client.url}/runs/{found['id']}", err=True)


def _show(line: dict[str, Any]) -> None:
    if "reason" in line:
        click.echo(f"  {line['reason']}", err=True)
        return
    p99 = "-" if line.get("p99_ms") is None else f"{line['p99_ms']:.0f} ms"
    told = f"{line['asked_rps']:g}/s asked, {line['done']} done, {line['failed']} failed, p99 {p99}"
    click.echo(f"  {line['t_s']:6.0f} s  {told}", err=True)


def _measured(threshold: dict[str, Any]) -> str:
    return "not measured" if threshold["actual"] is None else f"{threshold['actual']:.4g}"


def _write_files(client: Client, run_id: str, files: dict[str, Path | None]) -> None:
    for option, kind in (("junit", "junit.xml"), ("markdown", "report.md"), ("html", "report.html")):
        path = files[option]
        if path is None:
            continue
        # GitHub's summary file is shared with whatever else the step writes there.
        shared = str(path) == os.environ.get("GITHUB_STEP_SUMMARY")
        try:
            with path.open("a" if shared else "w", encoding="utf-8") as file:
                file.write(client.text(f"/api/v1/runs/{run_id}/{kind}"))
        except OSError as error:
            raise StartRefused(f"cannot write {path}: {error.strerror}") from None


def _annotate(found: dict[str, Any]) -> None:
    """Lines that GitHub shows at the job: the reason, and each threshold that did not hold."""
    if found["status"] == "passed":
        return
    broken = [f"{t['text']}: measured {_measured(t)}" for t in found["thresholds"] if t["passed"] is False]
    message = "; ".join([found["reason"], *broken])[:2000]
    title = _command_text(f"Load test {found['plan']}: {found['status']}").replace(":", "%3A").replace(",", "%2C")
    click.echo(f"::error title={title}::{_command_text(message)}")


def _command_text(text: str) -> str:
    """Text within a workflow command, which ends at its line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
