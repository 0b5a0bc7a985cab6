"""The whole story on real parts: `python demo/run.py` keeps it running until Ctrl-C, `--once` ends by itself.

With `--once` the exit code is 0 only where every one of the eight steps is shown by the public API.
DEMO_ALERTMANAGER=http://127.0.0.1:9093 sends the alerts to that Alertmanager too.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import IO, NoReturn

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.children import ROOT, Failed
from demo.proofs import Proof, prove
from demo.story import MODEL, Story

# Four minutes are promised: for the story, for its proofs, and up to 15 s for the children to end.
STORY_S = 195
PROOFS_S = 25
WIDTH = 118


class Told:
    """Lines of progress with the time since the start."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()

    def __call__(self, line: str) -> None:
        print(f"{time.monotonic() - self.began_s:7.1f} s  {line}", flush=True)


def main() -> int:
    """Tell the story; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end by itself; exit 0 only if every step happened")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, _terminated)
    if once:
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(STORY_S)
    say = Told()
    with _folder() as (folder, kept):
        say(f"the demo's folder is {folder}")
        story = Story(folder, say, os.environ.get("DEMO_ALERTMANAGER") or None)
        try:
            return _tell(story, say, once=once)
        except Failed as error:  # the clock, between two proofs
            say(f"FAILED: {error}")
            return 1
        except KeyboardInterrupt:
            print(flush=True)
            return 130
        finally:
            signal.alarm(0)
            say("stopping")
            story.stop()
            say(f"stopped; what the programs said is in {folder}/*.log" if kept else "stopped")


def _tell(story: Story, say: Told, *, once: bool) -> int:
    trouble: str | None = None
    try:
        story.tell()
    except (Failed, httpx.HTTPError) as error:
        trouble = str(error)
        say(f"FAILED: {trouble}")
    if once:
        signal.alarm(PROOFS_S)
    proofs = prove(story)
    signal.alarm(0)
    _print_table(proofs)
    good = trouble is None and all(proof.happened for proof in proofs)
    if not good:
        _print_tails(story)
    if once:
        say("every step happened" if good else "not every step happened")
        return 0 if good else 1
    _print_places(story)
    try:
        _keep_going(story)
    except KeyboardInterrupt:
        print(flush=True)
    return 0 if good else 1


def _keep_going(story: Story) -> NoReturn:
    while True:
        try:
            story.family.check()
        except Failed as error:
            print(f"\n{error}; Ctrl-C ends the rest", flush=True)
            signal.pause()
        time.sleep(1.0)


def _print_table(proofs: list[Proof]) -> None:
    steps = max(len(proof.step) for proof in proofs)
    print(f"\n{'step':{steps}}     shown by the public API\n{'-' * WIDTH}")
    for proof in proofs:
        lines = textwrap.wrap(proof.shown, WIDTH - steps - 5) or [""]
        print(f"{proof.step:{steps}}  {'✔' if proof.happened else '✘'}  {lines[0]}")
        for line in lines[1:]:
            print(f"{'':{steps}}     {line}")
    print("-" * WIDTH, flush=True)


def _print_tails(story: Story) -> None:
    for child in story.family.children:
        print(f"\n{child.name} said last ({child.log}):\n{child.tail()}", flush=True)


def _print_places(story: Story) -> None:
    seamark = story.urls["seamark"]
    places = {
        "overview": f"{seamark}/",
        "the model": f"{seamark}/models/{MODEL}",
        "load tests": f"{seamark}/loadtests",
        "the capacity run": f"{seamark}/runs/{story.notes.capacity_run}",
        "alerts": f"{seamark}/alerts",
        "alerts, as received": f"{story.urls['receiver']}/",
        "API": f"{seamark}/docs",
        "Prometheus metrics": f"{seamark}/metrics",
        "Grafana": "the dashboards and their provisioning are in dashboards/",
    }
    print("\nTraffic goes on. Open:")
    for name, place in places.items():
        print(f"  {name:20} {place}")
    model = story.urls["model"]
    print(f"""
Break the model, and mend it:
  curl -X POST {model}/fault -H 'Content-Type: application/json' -d '{{"error_ratio": 0.5, "delay_ms": 100}}'
  curl -X POST {model}/fault -H 'Content-Type: application/json' -d '{{}}'

Ctrl-C ends it.""")
    sys.stdout.flush()


class _folder:  # noqa: N801 - used as a context, like a function
    """.demo in this checkout, emptied; a temporary folder where another demo is running there."""

    def __enter__(self) -> tuple[Path, bool]:
        self._temporary: str | None = None
        place = ROOT / ".demo"
        try:
            place.mkdir(exist_ok=True)
            self._lock: IO[str] | None = (place / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock = None
            self._temporary = tempfile.mkdtemp(prefix="seamark-demo-")
            return Path(self._temporary), False
        for old in place.iterdir():
            if old.name != "lock":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        return place, True

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def _too_long(*_: object) -> NoReturn:
    signal.alarm(5)  # and for whatever comes after: the next question has five seconds
    raise Failed("the time for it was up")


if __name__ == "__main__":
    sys.exit(main())
