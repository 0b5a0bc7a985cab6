"""What a scenario is: how requests of a kind are sent, and how what comes back is judged and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seamark.compute.answer_match import USUAL_PATHS
from seamark_load.reader import MakeReader


def any_2xx(status: int) -> str | None:
    """Judge a status: any 2xx is a success."""
    return None if 200 <= status < 300 else f"HTTP {status}"


@dataclass(frozen=True)
class Scenario:
    """A kind of request: a record of functions, registered by name in `scenarios/__init__.py`.

    The service makes the bodies beforehand (seamark/wire/load_bodies.py, by the same name). judge() is given the status
    of a whole answer that is no redirect and returns None where the request succeeded, else a short, constant text that
    says why not. reader() reads the answers' bodies; where it is None they are read only to be held against recorded
    ones, as JSON. `paths` are the places where the prediction is looked for when the plan names none.
    """

    name: str
    method: str
    headers: Mapping[str, str]
    judge: Callable[[int], str | None] = any_2xx
    reader: MakeReader | None = None
    paths: tuple[str, ...] = USUAL_PATHS
