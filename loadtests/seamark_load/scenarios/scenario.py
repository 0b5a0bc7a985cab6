"""What a scenario is: a payload row turned into one request, and an answer judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A kind of request: a record of functions, registered by name in `scenarios/__init__.py`.

    body() makes the request body from one payload row (JSON text). judge() is given the status of a whole answer
    that is no redirect and returns None where the request succeeded, else a short, constant text that says why not.
    """

    name: str
    method: str
    headers: Mapping[str, str]
    body: Callable[[bytes], bytes]
    judge: Callable[[int], str | None]
