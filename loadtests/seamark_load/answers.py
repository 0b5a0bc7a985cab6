"""Blocks of answers as they come -> the details of each answer, and the gaps between tokens of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from seamark.compute.answer_match import MISSING, TOLERANCE, find, matches
from seamark.compute.token_notes import TokenNotes
from seamark_load.reader import JsonAnswer, Reader, Told
from seamark_load.scenarios.scenario import Scenario


class Reading:
    """How the answers of a run are read, and what they said together. One per process.

    `recorded` are the answers known of the payload rows, None where there is none; empty: of none. `tokens` merges with
    what other processes noted.
    """

    def __init__(
        self,
        scenario: Scenario,
        recorded: Sequence[Any] = (),
        path: str | None = None,
        tolerance: float = TOLERANCE,
        tokens: TokenNotes | None = None,
    ) -> None:
        self.tokens = TokenNotes() if tokens is None else tokens
        self._scenario, self._recorded, self._path, self._tolerance = scenario, recorded, path, tolerance

    def of(self, number: int) -> AnswerReading | None:
        """Return how to read the answer to this request, which is sent now; None: its body need not be looked at."""
        recorded = self._recorded[number % len(self._recorded)] if self._recorded else None
        make = self._scenario.reader
        if make is None:
            return None if recorded is None else AnswerReading(self, JsonAnswer(True), recorded)
        return AnswerReading(self, make(recorded is not None, self.tokens.gaps.add), recorded)

    def note_tokens(self, *, by_usage: bool) -> None:
        """Count one answer by who told its tokens."""
        if by_usage:
            self.tokens.by_usage += 1
        else:
            self.tokens.by_chunks += 1

    def compare(self, document: Any, recorded: Any) -> bool | None:
        """Whether the prediction in an answer is the recorded one; None where no answer has told where it stands.

        The place is the plan's, else the first usual one that an answer has. From then on an answer without it is
        another answer.
        """
        if self._path is None:
            usual = (path for path in self._scenario.paths if find(document, path) is not MISSING)
            self._path = next(usual, None)
        if self._path is None:
            return None
        answer = find(document, self._path)
        return answer is not MISSING and matches(answer, recorded, self._tolerance)


class AnswerReading:
    """One answer as it comes; begins when its request is sent."""

    __slots__ = ("_reader", "_reading", "_recorded", "_sent_s")

    def __init__(self, reading: Reading, reader: Reader, recorded: Any) -> None:
        self._reading, self._reader, self._recorded = reading, reader, recorded
        self._sent_s = perf_counter()

    def feed(self, block: bytes) -> None:
        """Take a block that has just come."""
        self._reader.feed(block, perf_counter())

    def end(self, *, good: bool) -> tuple[str | None, dict[str, Any]]:
        """Return why the answer is none, and its details by the names of client.Answer.

        `good`: it came whole and with a good status; only then is it held against the recorded one.
        """
        told = self._reader.end()
        if good and told.error is None and told.tokens is not None:
            self._reading.note_tokens(by_usage=told.by_usage)
        compared = good and told.error is None and self._recorded is not None
        return told.error, {
            "first_token_ms": None if told.first_token_s is None else (told.first_token_s - self._sent_s) * 1e3,
            "time_per_token_ms": _time_per_token_ms(told),
            "tokens": told.tokens if good else None,
            "matches": self._reading.compare(told.document, self._recorded) if compared else None,
        }


def _time_per_token_ms(told: Told) -> float | None:
    """(last token - first token) / (tokens - 1), as MLPerf and vLLM define TPOT; None for fewer than two."""
    if told.first_token_s is None or told.last_token_s is None or told.tokens is None or told.tokens < 2:
        return None
    return (told.last_token_s - told.first_token_s) * 1e3 / (told.tokens - 1)
