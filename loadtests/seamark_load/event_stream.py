"""Blocks of a text/event-stream, cut anywhere -> its events, each as soon as it is whole.

As WHATWG HTML, "Server-sent events", has it: lines end with LF, CR or both, a colon first makes a comment, several
`data` lines are one event with line breaks between them, an empty line ends an event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """One event: its name (b"" where it has none) and its data."""

    name: bytes
    data: bytes


@dataclass
class EventStream:
    """The state of one stream between two blocks."""

    _rest: list[bytes] = field(default_factory=list)  # of a line that has not ended
    _name: bytes = b""
    _data: list[bytes] = field(default_factory=list)
    _after_return: bool = False
    _begun: bool = False

    def feed(self, block: bytes) -> Iterator[Event]:
        """Yield the events that the block completes. To be read to its end before the next block."""
        if self._after_return and block:
            self._after_return = False
            block = block.removeprefix(b"\n")  # the other half of a line end that was cut in two
        if not block:
            return
        if b"\r" in block:
            self._after_return = block.endswith(b"\r")
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = block.split(b"\n")
        self._rest.append(first)
        for other in others:
            event = self._line(b"".join(self._rest))
            self._rest = [other]
            if event is not None:
                yield event

    def end(self) -> Event | None:
        """Return the event that the stream ended in: servers leave out the last empty line."""
        rest, self._rest = b"".join(self._rest), []
        return (self._line(rest) if rest else None) or self._line(b"")

    def _line(self, line: bytes) -> Event | None:
        if not self._begun:
            self._begun, line = True, line.removeprefix(_BOM)
        if not line:
            data, name = self._data, self._name
            self._data, self._name = [], b""
            return Event(name, b"\n".join(data)) if data else None
        label, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if label == b"data":
            self._data.append(value)
        elif label == b"event":
            self._name = value
        return None
