"""A chat completion (vLLM, TGI, SGLang, and whoever speaks OpenAI's way) -> when its tokens came, and how many.

A streamed answer tells when each chunk of text came; the endpoint's own `usage` says how many tokens they were, and
where it says nothing each chunk counts as one. An endpoint that answers whole is read too: it has no first token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from seamark_load.event_stream import Event, EventStream
from seamark_load.reader import Reader, Told
from seamark_load.scenarios.scenario import Scenario

NOT_CHAT = "the answer is no chat completion"
BROKEN = "the stream broke: an event is no chat completion"
FAILED = "the stream ended with an error of the server"
CUT = "the stream ended before the answer did"
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


class ChatAnswer:
    """Reads one answer. Whether it is streamed is told by its first character: no event begins with a brace."""

    def __init__(self, wanted: bool, gap: Callable[[float], None]) -> None:
        self._wanted, self._gap = wanted, gap
        self._stream: EventStream | None = None
        self._blocks: list[bytes] = []  # of an answer that comes whole, or has not said yet
        self._comes_whole = False
        self._texts: list[str] = []
        self._error: str | None = None
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._chunks = 0
        self._usage: int | None = None
        self._finished = self._answered = False

    def feed(self, block: bytes, at_s: float) -> None:
        """Read what came at `at_s`."""
        if self._stream is None:
            self._blocks.append(block)
            if self._comes_whole or not (first := block.lstrip()[:1]):
                return
            if first in b"{[":
                self._comes_whole = True
                return
            self._stream, block = EventStream(), b"".join(self._blocks)
            self._blocks = []
        for event in self._stream.feed(block):
            self._hear(event, at_s)

    def end(self) -> Told:
        """Return what was heard."""
        if self._stream is None:
            return self._whole(b"".join(self._blocks))
        last = self._stream.end()
        if last is not None:
            self._hear(last, self._last_s or 0.0)
        error = self._error or (CUT if not self._finished else None if self._answered else NOT_CHAT)
        text = "".join(self._texts)
        document = {"choices": [{"message": {"role": "assistant", "content": text}}]} if self._wanted else None
        by_usage = self._usage is not None
        tokens = self._usage if by_usage else self._chunks
        return Told(error, document, self._first_s, self._last_s, tokens, by_usage)

    def _hear(self, event: Event, at_s: float) -> None:
        if self._error is not None:
            return
        if event.data.strip() == b"[DONE]":
            self._finished = True
            return
        try:
            chunk = msgspec.json.decode(event.data)
        except (msgspec.DecodeError, RecursionError):
            self._error = FAILED if event.name == b"error" else BROKEN
            return
        if not isinstance(chunk, dict):
            self._error = BROKEN
        elif event.name == b"error" or chunk.get("error") is not None:
            self._error = FAILED
        else:
            self._usage = _completion_tokens(chunk, self._usage)
            self._take(chunk, at_s)

    def _take(self, chunk: Mapping[str, Any], at_s: float) -> None:
        for choice in _choices(chunk):
            self._answered = True
            delta = choice.get("delta")
            if isinstance(delta, Mapping) and _says(delta):
                self._token(at_s)
                if self._wanted and isinstance(text := delta.get("content"), str):
                    self._texts.append(text)
            if choice.get("finish_reason") is not None:
                self._finished = True

    def _token(self, at_s: float) -> None:
        self._chunks += 1
        if self._last_s is None:
            self._first_s = at_s
        else:
            self._gap((at_s - self._last_s) * 1e3)
        self._last_s = at_s

    def _whole(self, body: bytes) -> Told:
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return Told(NOT_CHAT)
        if not isinstance(document, dict) or not _choices(document) or document.get("error") is not None:
            return Told(NOT_CHAT)
        tokens = _completion_tokens(document, None)
        return Told(document=document if self._wanted else None, tokens=tokens, by_usage=tokens is not None)


def _choices(chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, Sequence) else []


def _says(delta: Mapping[str, Any]) -> bool:
    return any(delta.get(name) for name in _TEXTS) or bool(delta.get("tool_calls"))


def _completion_tokens(document: Mapping[str, Any], otherwise: int | None) -> int | None:
    usage = document.get("usage")
    told = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    fits = isinstance(told, int) and not isinstance(told, bool) and 0 <= told < 2**31
    return told if fits else otherwise


def _reader(wanted: bool, gap: Callable[[float], None]) -> Reader:
    return ChatAnswer(wanted, gap)


OPENAI_CHAT = Scenario(
    "openai_chat",
    "POST",
    {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"},
    reader=_reader,
    paths=("choices.0.message.content",),
)
