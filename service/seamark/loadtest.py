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

from seamark.calling import exit_code, talks
from seamark.client import Client, NotSeamark
from seamark.core.clock import SystemClock
from seamark.core.errors import ExitCode, InputRefused, SeamarkError, StartRefused
from seamark.core.figures import figure

RUN_EXIT = {
    "passed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "inconclusive": ExitCode.INCONCLUSIVE,
    "aborted": ExitCode.ABORTED,
}
JOIN_LOOK_S = 1.0
STOPPED_S = 30.0  # a run that is told to stop ends within two
LEAVE_AT = 3  # signals
KINDS_SHOWN = 3  # of errors
_WORDS = {True: "passed", False: "FAILED", None: "unknown"}


@click.group()
def loadtest() -> None:
    """Load tests."""


def _seconds(context: click.Context, option: click.Parameter, value: float) -> float:
    if not value >= 0:  # not a number is none either
        raise click.BadParameter(f"{value:g} is not a number of seconds", context, option)
    return value


@loadtest.command("run")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait for the verdict; the exit code is the verdict.")
@click.option(
    "--timeout", type=float, callback=_seconds, default=6 * 3600.0, show_default=True, help="Seconds to wait at most."
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a Markdown summary here.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report here: one page that stands alone.")
@talks
def run(client: Client, name: str, *, wait: bool, timeout: float, **files: Path | None) -> None:
    """Run a load test. Exit 0 passed, 1 failed, 2 bad plan, 3 inconclusive, 4 aborted, 5 no answer."""
    plan = _plan_path(client, name)
    for path in files.values():
        if path is not None:
            _check_writable(path)
    found = client.post(f"{plan}/runs")
    if not (isinstance(found, dict) and "id" in found):
        raise NotSeamark(f"{client.url} answered, but not as Seamark does; is it the URL of a model?")
    _say_where(client, found)
    if not (wait or any(files.values())):
        click.echo(found["id"])
        return
    with Signals() as signals:
        found = _verdict(client, found, timeout, signals)
        _tell(found)
        unwritten = _write_files(client, found["id"], files)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _annotate(found)
        for error in unwritten:
            click.echo(f"seamark: {error}", err=True)
        code = RUN_EXIT[found["status"]]
        # A verdict that is not good is told whatever happened to its files.
        sys.exit(exit_code(unwritten[0]) if unwritten and code == ExitCode.OK else code)


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
    click.echo(client.text(f"{_plan_path(client, name)}/workers.yaml"), nl=False)


@loadtest.command("join")
@click.argument("name")
@click.option(
    "--wait", type=float, callback=_seconds, default=0.0, show_default=True, help="Seconds to wait for a run to join."
)
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
            return dict(client.get(f"{_plan_path(client, name)}/join"))
        except InputRefused:
            client.get(_plan_path(client, name))  # a plan that is not there is refused here
            if clock.monotonic_s() >= deadline_s:
                return None
        asyncio.run(clock.sleep(JOIN_LOOK_S))


def _verdict(client: Client, found: dict[str, Any], timeout_s: float, signals: Signals) -> dict[str, Any]:
    """Follow a run, and the runs that make it again, to the last one's end. A signal stops what is under way."""
    while True:
        try:
            with signals.interrupting():
                found = client.wait_for_run(found["id"], timeout_s, _show)
        except KeyboardInterrupt:
            click.echo("stopping the run", err=True)
            client.post(f"/api/v1/runs/{found['id']}/stop")
            return client.wait_for_run(found["id"], min(timeout_s, STOPPED_S), _show)
        if found["retried_as"] is None:
            return found
        click.echo(f"{found['status']}: {found['reason']}", err=True)
        found = client.get(f"/api/v1/runs/{found['retried_as']}")
        _say_where(client, found)


class Signals:
    """SIGINT and SIGTERM from a run's start to its files: the first one stops the run, the third one leaves it all.

    A job that CI cancels is sent several, one soon after the other: the second must cost neither verdict nor files.
    """

    def __init__(self) -> None:
        self._interrupts = False
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """While a run is followed: the next signal is a KeyboardInterrupt."""
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def _heard(self, *_: object) -> None:
        self._count += 1
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
        if self._count >= LEAVE_AT:
            sys.exit(ExitCode.ABORTED)


def _say_where(client: Client, found: dict[str, Any]) -> None:
    again = f", attempt {found['attempt']}" if found["attempt"] > 1 else ""
    click.echo(f"run {found['id']} of {found['plan']}{again}: {client.url}/runs/{found['id']}", err=True)


def _show(line: dict[str, Any]) -> None:
    if "reason" in line:
        click.echo(f"  {line['reason']}", err=True)
        return
    p99 = "-" if line.get("p99_ms") is None else f"{line['p99_ms']:.0f} ms"
    asked = "" if line.get("asked_rps") is None else f"{figure(line['asked_rps'])}/s asked, "
    told = f"{asked}{line['done']} done, {line['failed']} failed, p99 {p99}"
    click.echo(f"  {line['t_s']:6.0f} s  {told}", err=True)


def _tell(found: dict[str, Any]) -> None:
    """Print the verdict: why, each threshold, the errors it met most often, and what a reader must know beside it."""
    click.echo(f"{found['status']}: {_one_line(found['reason'])}")
    for threshold in found["thresholds"]:
        click.echo(f"  {_WORDS[threshold['passed']]:8}{threshold['text']}  (measured {_measured(threshold)})")
    if found.get("baseline"):
        click.echo(f"  baseline: {found['baseline']['reason']}")
    kinds = found.get("error_kinds", [])
    for kind in kinds[:KINDS_SHOWN]:
        click.echo(f"  {kind['count']:,} x {_one_line(kind['error'])}")
    if len(kinds) > KINDS_SHOWN:
        click.echo("  and rarer errors, which the report tells")
    for note in found.get("notes", []):
        click.echo(f"  note: {_one_line(note)}")


def _one_line(text: str) -> str:
    """Words of a target as text: what it sends must not steer a terminal, nor look like a line of its own."""
    return "".join(c if c.isprintable() else " " for c in text)


def _measured(threshold: dict[str, Any]) -> str:
    return "not measured" if threshold["actual"] is None else figure(threshold["actual"])


def _plan_path(client: Client, name: str) -> str:
    if "/" in name:
        raise StartRefused(f"{name[:100]!r} is not the name of a load test; names have no /")
    return f"/api/v1/loadtests/{client.quoted(name)}"


def _check_writable(path: Path) -> None:
    """Refuse a path that cannot be written before a run is asked for; leaves nothing behind."""
    there = path.exists()
    if there and not (path.is_file() or path.is_dir()):
        return  # as a pipe, which opening would disturb
    try:
        path.open("a").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise StartRefused(f"cannot write {path}: {error.strerror}") from None


def _write_files(client: Client, run_id: str, files: dict[str, Path | None]) -> list[SeamarkError]:
    """Write each file that is wanted; return what went wrong."""
    errors: list[SeamarkError] = []
    for option, kind in (("junit", "junit.xml"), ("markdown", "report.md"), ("html", "report.html")):
        path = files[option]
        if path is None:
            continue
        # GitHub's summary file is shared with whatever else the step writes there.
        shared = str(path) == os.environ.get("GITHUB_STEP_SUMMARY")
        try:
            text = client.text(f"/api/v1/runs/{run_id}/{kind}")
            with path.open("a" if shared else "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            errors.append(StartRefused(f"cannot write {path}: {error.strerror}"))
        except SeamarkError as error:
            errors.append(error)
    return errors


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
