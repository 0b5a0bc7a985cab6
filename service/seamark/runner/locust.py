"""A load order -> Locust in a process group of its own -> progress while it runs, samples and how it ended."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

import seamark
from seamark.compute.shapes import SHAPES
from seamark.compute.token_notes import TokenNotes
from seamark.core.clock import Clock, SystemClock
from seamark.core.errors import Invalid
from seamark.core.records import LOAD_SAMPLES
from seamark.core.targets import own_locustfile
from seamark.runner import own
from seamark.runner.addresses import Unresolved, pin
from seamark.runner.order import JOIN_REMOTE_S, JOIN_S, LastLine, LoadOrder, Progress, RunnerOutcome, write_order
from seamark.shipped import shipped
from seamark.wire import load_rows

ROOT = Path(seamark.__file__).resolve().parent.parent  # where the package is imported from
log = logging.getLogger(__name__)

POLL_S = 0.05
STOP_GRACE_S = 1.2  # to give up what is in flight and write it down; the file of samples holds all but the last second
START_S = 60.0  # Locust's imports on a busy machine, on top of what the shape may take
DRAINS_MAX = 12  # steps of a search that may have to wait for their last answer up to the timeout
NOTES_MAX, NOTE_LENGTH_MAX = 10, 500
LINE_BYTES_MAX = 64 * 1024
STDERR_BYTES_KEPT = 16 * 1024


def run(
    order: LoadOrder,
    *,
    work_dir: Path,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    on_stopped: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> RunnerOutcome:
    """Run one load test to its end and return what it measured. Blocks; call it in a thread that lives as long.

    `work_dir` is an empty folder that the caller removes afterwards. on_progress() is called about once a second,
    should_stop() several times a second, on_stopped() once the generator has ended because of it, before its samples
    are read; all in this thread. An exception of theirs ends the generator first.
    Raises Invalid where the order cannot be carried out at all; whatever happens later is told in the outcome.
    """
    is_own = own_locustfile(order.plan.scenario)
    if order.addresses is None:
        try:
            # The user's own file may go wherever the list lets it; a built-in scenario only to the target.
            order = replace(order, addresses=pin(order.plan.target, order.allow if is_own else ()))
        except Unresolved as reason:
            return RunnerOutcome(LOAD_SAMPLES.empty_table(), unreachable=str(reason))
    longest_s, skipped = _prepare_own(order, work_dir) if is_own else _prepare(order, work_dir)
    child = _Child(work_dir, clock or SystemClock(), order, is_own=is_own)
    try:
        stop_asked = child.follow(on_progress, should_stop, longest_s)
    finally:
        child.end()
    if stop_asked:
        on_stopped()
    outcome = _outcome(order, work_dir, child, longest_s)
    aborted = "stopped before its end" if stop_asked else outcome.aborted
    error = None if stop_asked and child.last is None else outcome.error
    return replace(outcome, aborted=aborted, error=error, skipped_payloads=skipped)


def _prepare_own(order: LoadOrder, work_dir: Path) -> tuple[float, int]:
    own.write_own_order(order, work_dir)
    return own.longest_s(order), 0


def _prepare(order: LoadOrder, work_dir: Path) -> tuple[float, int]:
    """Write the order down; return the run's wall-clock limit in seconds and how many payload rows were left out."""
    shape = SHAPES.get(order.plan.shape.kind)
    if shape is None:
        raise Invalid(f"{order.plan.shape.kind!r} is not a load shape; known are {', '.join(sorted(SHAPES))}")
    skipped = write_order(order, work_dir)
    if skipped:
        log.warning("run %s: %d payload rows were left out, they are no JSON or too large", order.run_id, skipped)
    drains = DRAINS_MAX if shape.feedback else 1
    joining_s = JOIN_REMOTE_S if order.plan.remote_workers else 0.0
    longest_s = joining_s + START_S + shape.longest_s(order.plan.shape.params) + drains * (order.plan.timeout_s + 1.0)
    return longest_s, skipped


class _Child:
    """The Locust process, alone or the master of several workers: its group, its pipes, and what it said."""

    def __init__(self, work_dir: Path, clock: Clock, order: LoadOrder, *, is_own: bool) -> None:
        self._clock = clock
        self.last: LastLine | None = None
        self.overdue = False
        self._stderr = b""
        self._line = b""
        self._work_dir = work_dir
        self._environment = own.environment(work_dir, ROOT) if is_own else environment(work_dir, order.token)
        remote, local = (0, 1) if is_own else (order.plan.remote_workers, order.plan.workers)
        host, port = order.bind if remote else (_LOOPBACK, 0)
        port = port or _free_port(host)
        shared = remote or local > 1
        options = _master(host, port, remote or local, order) if shared else _ALONE
        self._process = self._start(own.command(order) if is_own else command(options), group=0)
        self._workers: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(local if shared and not remote else 0):
                self._workers.append(
                    self._start(command(worker_options(host, port)), group=self._process.pid, speaks=False)
                )
        except OSError:
            self.end()
            raise

    def _start(self, command: Sequence[str], *, group: int, speaks: bool = True) -> subprocess.Popen[bytes]:
        """Start one process of the group; `group` 0 makes it the leader of a new one."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and script
            command,
            cwd=self._work_dir,
            env=self._environment,
            stdin=subprocess.PIPE,  # held open and never written to: its end tells the generator that we are gone
            stdout=subprocess.PIPE if speaks else subprocess.DEVNULL,
            stderr=subprocess.PIPE if speaks else subprocess.DEVNULL,
            process_group=group,
            close_fds=True,
        )

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    def follow(
        self, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool], longest_s: float
    ) -> bool:
        """Pass on progress until the generator's last line or its end; return whether a stop was asked for.

        Asked to stop, or overdue, it gets SIGTERM first, so that it can write down what it has, then SIGKILL.
        """
        started_s = self._clock.monotonic_s()
        term_s: float | None = None
        stop_asked = False
        with selectors.DefaultSelector() as selector:
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map() and self.last is None:
                for key, _ in selector.select(POLL_S):
                    if not self._read(key.fd, on_progress):
                        selector.unregister(key.fileobj)
                now_s = self._clock.monotonic_s()
                if term_s is None:
                    stop_asked = should_stop()
                    self.overdue = now_s - started_s > longest_s
                    if stop_asked or self.overdue:
                        self._ask_to_end()
                        term_s = now_s
                elif now_s - term_s > STOP_GRACE_S:
                    break
        return stop_asked

    def end(self) -> None:
        """Kill what is left of the group and reap it: after its last line the generator has nothing more to do."""
        # The group outlives its leader where the generator left something behind.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in (self._process, *self._workers):
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def complaint(self) -> str:
        """The last line on stderr, for an error message."""
        lines = [line.strip() for line in self._stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:500] if lines else "it said nothing"

    def _ask_to_end(self) -> None:
        """Only the leader is asked: a master tells its workers, and waits for their last rows."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self._process.pid, signal.SIGTERM)

    def _read(self, fd: int, on_progress: Callable[[Progress], None]) -> bool:
        """Take what a pipe holds; False at its end."""
        assert self._process.stdout is not None
        try:
            data = os.read(fd, LINE_BYTES_MAX)
        except BlockingIOError:
            return True
        if fd != self._process.stdout.fileno():
            self._stderr = (self._stderr + data)[-STDERR_BYTES_KEPT:]
            return bool(data)
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest if len(rest) <= LINE_BYTES_MAX * 64 else b""
        for line in lines:
            self._hear(line, on_progress)
        return bool(data)

    def _hear(self, line: bytes, on_progress: Callable[[Progress], None]) -> None:
        try:
            document = msgspec.json.decode(line, type=dict[str, Any])
            if document.get("kind") == "progress":
                on_progress(msgspec.convert(document, Progress))
            elif document.get("kind") == "end":
                self.last = msgspec.convert(document, LastLine)
        except msgspec.MsgspecError:
            log.warning("the load generator said something odd: %s", line[:200])


_HEADLESS = ("--headless", "--only-summary", "--exit-code-on-error", "0")
_ALONE = (*_HEADLESS, "--users", "1", "--spawn-rate", "1")
_LOOPBACK = "127.0.0.1"


def _master(host: str, port: int, workers: int, order: LoadOrder) -> tuple[str, ...]:
    """One user for each worker, which sends its share."""
    bind = ("--master", "--master-bind-host", host, "--master-bind-port", str(port))
    longest_s = JOIN_REMOTE_S if order.plan.remote_workers else JOIN_S
    wait = ("--expect-workers", str(workers), "--expect-workers-max-wait", f"{longest_s:.0f}")
    return (*_HEADLESS, *bind, *wait, "--users", str(workers), "--spawn-rate", str(workers))


def worker_options(host: str, port: int) -> tuple[str, ...]:
    """Locust's options for a worker of the master that listens there."""
    return ("--worker", "--master-host", host, "--master-port", str(port))


def command(options: Sequence[str]) -> list[str]:
    locustfile = shipped("loadtests") / "locustfile.py"
    return [sys.executable, "-P", "-m", "locust", "-f", str(locustfile), *options, "--loglevel", "ERROR"]


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def environment(work_dir: Path, token: str) -> dict[str, str]:
    """Only what the generator needs: no setting, no secret and no proxy of the service reaches it."""
    kept = {name: os.environ[name] for name in own.KEPT_ENVIRONMENT if name in os.environ}
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **kept,
        "HOME": str(work_dir),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(path).resolve()) for path in paths if path)),
        "PYTHONUNBUFFERED": "1",
        "SEAMARK_LOAD_PARENT": str(os.getpid()),  # with which it ends
        "SEAMARK_LOAD_TOKEN": token,
        # It sends from one thread; more would only take the target's cores, and address space that is limited.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _outcome(order: LoadOrder, work_dir: Path, child: _Child, longest_s: float) -> RunnerOutcome:
    last = child.last or LastLine()
    error = last.error
    if child.overdue:
        error = f"the load generator was not done after {longest_s:.0f} s"
    elif child.last is None:
        error = f"the load generator ended with code {child.returncode}: {child.complaint()}"
    try:
        samples = read_samples(work_dir / "samples.bin", order.run_id)
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):  # Arrow's errors are among them
        samples, error = LOAD_SAMPLES.empty_table(), "the samples cannot be read: they are not as they were written"
    return RunnerOutcome(
        samples=samples,
        segments=last.segments,
        generator_cpu_ratio=last.generator_cpu_ratio,
        generator_saturated=last.generator_saturated,
        aborted=None if child.overdue else last.aborted,
        unreachable=last.unreachable,
        error=error,
        tokens=_tokens(last.tokens),
        notes=tuple(note[:NOTE_LENGTH_MAX] for note in last.notes[:NOTES_MAX]),
    )


def _tokens(document: Any) -> TokenNotes | None:
    try:
        return None if document is None else TokenNotes.from_document(document)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("what the load generator noted of tokens cannot be read: %s", error)
        return None


def read_samples(path: Path, run_id: str) -> pa.Table:
    """Return the samples the generator wrote, as LOAD_SAMPLES; of a file cut off by a kill, all whole chunks."""
    data = path.read_bytes() if path.exists() else b""
    tables = [_table(columns, errors, run_id) for columns, errors in load_rows.decode(data)]
    return pa.concat_tables(tables) if tables else LOAD_SAMPLES.empty_table()


def _table(columns: load_rows.Columns, errors: Sequence[str], run_id: str) -> pa.Table:
    rows = len(columns["segment"])
    texts = pa.array(errors, pa.string())
    arrays = {"run_id": pa.repeat(pa.scalar(run_id, pa.string()), rows)}
    for name, values in columns.items():
        known = values >= 0 if values.dtype.kind == "i" else ~np.isnan(values)
        if name == "error":
            arrays[name] = texts.take(pa.array(values, mask=~known))
        else:
            arrays[name] = pa.array(values, mask=~known).cast(LOAD_SAMPLES.field(name).type)
    return pa.table([arrays[name] for name in LOAD_SAMPLES.names], schema=LOAD_SAMPLES)
