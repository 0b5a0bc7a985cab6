"""Programs become child processes that are awaited with a deadline, whose words are kept, and which always end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 15.0
TAIL_LINES = 25


class Failed(Exception):
    """A sentence that says what did not happen."""


@dataclass
class Child:
    """A running program in its own process group; what it says is in `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    _output: IO[bytes] = field(repr=False)

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def check(self) -> None:
        """Failed where it has ended although nobody asked it to."""
        code = self.process.poll()
        if code is not None:
            raise Failed(f"{self.name} ended by itself with exit code {code}")

    def said(self, text: str) -> bool:
        """Whether the text is in what it said so far."""
        return text in self.log.read_text(errors="replace")

    def tail(self) -> str:
        """The last lines it said."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (nothing)"

    def ask_to_stop(self) -> None:
        """Send SIGTERM to its whole group, and end its standard input."""
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass  # it has gone already
        self._signal(signal.SIGTERM)

    def stop(self, until_s: float) -> int:
        """Wait until it has ended, by force after `until_s` (monotonic seconds); returns the exit code."""
        try:
            code = self.process.wait(max(until_s - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            code = None
        self._signal(signal.SIGKILL)  # whatever is left of its group
        code = self.process.wait() if code is None else code
        self._output.close()
        return code

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


@dataclass
class Family:
    """All children of one demo; `folder` keeps what they say."""

    folder: Path
    children: list[Child] = field(default_factory=list)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, *, stdin: bool = False
    ) -> Child:
        """Start a program from this checkout's own environment."""
        log = self.folder / f"{name}.log"
        output = log.open("wb")
        process = subprocess.Popen(
            list(command),
            cwd=self.folder,
            env=surroundings() | dict(environment or {}),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours; we end them, in order
        )
        child = Child(name, process, log, output)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Failed where one has ended by itself."""
        for child in self.children:
            child.check()

    def stop(self) -> dict[str, int]:
        """End every child, the last started first, and return their exit codes."""
        for child in reversed(self.children):
            child.ask_to_stop()
        until_s = time.monotonic() + STOP_S
        codes = {child.name: child.stop(until_s) for child in reversed(self.children)}
        self.children.clear()
        return codes


def surroundings() -> dict[str, str]:
    """The environment of a child: ours, with this checkout importable and no settings of another Seamark."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEAMARK_", "OTEL_"))}
    return kept | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("service", "sdk", ".")),
        "PYTHONUNBUFFERED": "1",
    }


def seamark_command() -> list[str]:
    """The `seamark` command of the environment this runs in."""
    installed = Path(sys.executable).with_name("seamark")
    return [str(installed)] if installed.exists() else [sys.executable, "-c", "from seamark.cli import main; main()"]


def free_port(wanted: int, taken: set[int]) -> int:
    """Return `wanted` where it is free, else a free port; and remember it as taken."""
    for port in (wanted, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            found = int(trial.getsockname()[1])
        if found not in taken:
            taken.add(found)
            return found
    return free_port(0, taken)


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float, check: Callable[[], None]) -> None:
    """Wait until the condition holds; Failed says what did not come in time, or which child has ended."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        check()
        if time.monotonic() > until_s:
            raise Failed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.25)
