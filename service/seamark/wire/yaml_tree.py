"""YAML text becomes plain data that remembers its lines; only the safe, small part of YAML is read.

Read from the parser's events, one by one, so that nesting, size and repetition are bounded before anything is built:
no aliases, no tags, no second document, every key a string and given once. Words are typed as in YAML 1.2 (true and
false are booleans, `on` and `no` are words).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from seamark.core.errors import Problem

BYTES_MAX = 1024 * 1024
NODES_MAX = 100_000
DEPTH_MAX = 20
PROBLEMS_MAX = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass
class Document:
    """Plain data, the line of every path in it (`models[0].slo.over`), and what was wrong with the text."""

    data: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass
class _Open:
    """A mapping or list that is being filled; `key` is the one whose value comes next."""

    path: str
    into: dict[str, Any] | list[Any]
    key: str | None = None
    outermost: bool = False  # the holder of the document itself
    drop: bool = False  # the key was there already: its second value is read and thrown away


class _Stop(Exception):
    """The text cannot be read any further."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read_yaml(text: str) -> Document:
    """Return what the text says. Where it cannot be read, `problems` says why and `data` is None."""
    document = Document()
    try:
        if len(text.encode("utf-8", "replace")) > BYTES_MAX:
            raise _Stop(f"the file is larger than {BYTES_MAX:,} bytes", None)
        _build(document, yaml.parse(text, Loader=_LOADER))
    except _Stop as stop:
        document.problems.append(Problem("", stop.message, stop.line))
        document.data = None
    except (yaml.YAMLError, ValueError) as error:
        document.problems.append(_syntax(error))
        document.data = None
    return document


def _syntax(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    said = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    line = None if mark is None else mark.line + 1
    return Problem("", f"this is not YAML: {(said or str(error))[:200]}", line)


def _build(document: Document, events: Iterator[Any]) -> None:
    """Walk the events with a stack of what is open; the root's holder stands at its bottom."""
    root: list[Any] = []
    stack = [_Open("", root, outermost=True)]
    for count, event in enumerate(events):
        line = event.start_mark.line + 1 if event.start_mark is not None else None
        if count > NODES_MAX:
            raise _Stop(f"the file has more than {NODES_MAX:,} values", line)
        if isinstance(event, yaml.AliasEvent):
            raise _Stop("aliases (*name) are not read; write the value out", line)
        if getattr(event, "tag", None) and not isinstance(event, yaml.DocumentStartEvent):
            raise _Stop(f"tags ({event.tag[:60]}) are not read", line)
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise _Stop("a second document begins here; the file holds one", line)
        if isinstance(event, yaml.ScalarEvent):
            _scalar(document, stack[-1], event, line or 1)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) > DEPTH_MAX:
                raise _Stop(f"values are nested more than {DEPTH_MAX} deep", line)
            new: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            stack.append(_Open(_put(document, stack[-1], new, line or 1), new))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()
    document.data = root[0] if root else None


def _scalar(document: Document, parent: _Open, event: Any, line: int) -> None:
    if isinstance(parent.into, dict) and parent.key is None:
        parent.key = event.value
        path = _join(parent.path, event.value)
        parent.drop = event.value in parent.into
        if parent.drop and len(document.problems) < PROBLEMS_MAX:
            first = document.lines.get(path)
            document.problems.append(Problem(path, f"is given twice; it stands on line {first} already", line))
        document.lines.setdefault(path, line)
        return
    _put(document, parent, _typed(event.value) if event.implicit[0] else event.value, line)


def _put(document: Document, parent: _Open, value: Any, line: int) -> str:
    """Put a value where its parent waits for it; return its path."""
    if isinstance(parent.into, list):
        path = "" if parent.outermost else f"{parent.path}[{len(parent.into)}]"
        parent.into.append(value)
    else:
        if parent.key is None:
            raise _Stop("a key must be a word, not a list or a mapping", line)
        path = _join(parent.path, parent.key)
        if not parent.drop:
            parent.into[parent.key] = value
        parent.key = None
    document.lines.setdefault(path, line)
    return path


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _typed(text: str) -> Any:
    """Return the value of an unquoted word.

    >>> [_typed(text) for text in ("1", "1.5", "1e3", "true", "no", "0 3 * * *", "~")]
    [1, 1.5, 1000.0, True, 'no', '0 3 * * *', None]
    """
    lower = text if text in _WORDS else text.lower() if text.lower() in ("null", "true", "false") else text
    if lower in _WORDS:
        return _WORDS[lower]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
