"""The blocks of an answer's body as they come -> what the answer said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec


@dataclass(frozen=True)
class Told:
    """What a whole answer said. `error` is a short, constant text: None where the request succeeded.

    `document` is the answer as data, in which the prediction is looked for; None where it was not asked for, or there
    is none. Instants are perf_counter seconds; `tokens` None: the answer tells of none;
    `by_usage`: it says itself how many they are.
    """

    error: str | None = None
    document: Any = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    tokens: int | None = None
    by_usage: bool = False


class Reader(Protocol):
    """Reads the body of one answer, block by block as they come."""

    def feed(self, block: bytes, at_s: float) -> None:
        """Take the next block, which came at `at_s`. Raises nothing, whatever is in it."""

    def end(self) -> Told:
        """Return what the answer said. After a broken answer: what it said until then."""


# Makes a reader: whether the answer's document is wanted, and who counts each gap between tokens, in milliseconds.
MakeReader = Callable[[bool, Callable[[float], None]], Reader]


class JsonAnswer:
    """Keeps the blocks until the answer is whole; `wanted`: whether anyone asks for the document."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._blocks: list[bytes] = []

    def feed(self, block: bytes, at_s: float) -> None:
        """Keep a block."""
        self._blocks.append(block)

    @property
    def body(self) -> bytes:
        """All that came."""
        return b"".join(self._blocks)

    def end(self) -> Told:
        """Return the document; None where the body is no JSON."""
        try:
            return Told(document=msgspec.json.decode(self.body))
        except (msgspec.DecodeError, RecursionError):
            return Told()
