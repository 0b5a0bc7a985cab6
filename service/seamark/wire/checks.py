"""Plain data that somebody wrote becomes checked values; every mistake is collected with its path and line."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from seamark.core.errors import Problem
from seamark.core.thresholds import Threshold, parse_threshold
from seamark.core.windows import parse_duration
from seamark.wire.values import NAME_LENGTH_MAX, clean_name, shown

PROBLEMS_MAX = 100
ENTRIES_MAX = 1_000  # of any list a person writes
DEPTH_MAX = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]{1,2000}")  # printable ASCII without " < > \ ^ ` { | }
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INDEX = re.compile(r"(.*)(?:\.[^.\[\]]*|\[\d+\])")

Item = TypeVar("Item")


class Checker:
    """Reads values and notes what is wrong with them. A reader returns None for a value that is absent or wrong.

    `lines` knows the line of each path; where it is empty, problems carry no line.
    """

    def __init__(self, lines: Mapping[str, int] | None = None, problems: Sequence[Problem] = ()) -> None:
        self._lines = lines or {}
        self._cut = 0
        self._problems = list(problems)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, by line; at most PROBLEMS_MAX, the last one counting the rest."""
        found = sorted(self._problems, key=lambda problem: problem.line or 0)
        return [*found, Problem("", f"and {self._cut:,} more mistakes")] if self._cut else found

    @property
    def count(self) -> int:
        """How many mistakes were found so far."""
        return len(self._problems) + self._cut

    def wrong(self, path: str, message: str) -> None:
        """Note a mistake."""
        if len(self._problems) >= PROBLEMS_MAX:
            self._cut += 1
        else:
            self._problems.append(Problem(path[:300], message, self._line(path)))

    def mapping(self, value: Any, path: str, known: Collection[str], what: str) -> dict[str, Any] | None:
        """Return a mapping whose keys are all known; each unknown one is a mistake and left out."""
        if not isinstance(value, Mapping):
            self.wrong(path, f"{shown(value)} is not {what} ({', '.join(known)})")
            return None
        out: dict[str, Any] = {}
        for key, item in value.items():
            if key in known:
                out[key] = item
            else:
                self.wrong(join(path, str(key)[:100]), f"is not known in {what}{self._nearest(str(key), known)}")
        return out

    def _nearest(self, key: str, known: Collection[str]) -> str:
        near = difflib.get_close_matches(key[:100], known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        return f"{meant}; known {'is' if len(known) == 1 else 'are'} {', '.join(known)}"

    def needed(self, found: Mapping[str, Any], path: str, *keys: str) -> bool:
        """Note each of these keys that is missing; whether all are there."""
        missing = [key for key in keys if found.get(key) is None]
        for key in missing:
            self.wrong(join(path, key), "is missing")
        return not missing

    def each(self, value: Any, path: str, what: str, read: Callable[[Any, str], Item | None]) -> tuple[Item, ...]:
        """Return what `read` makes of each entry of a list; None (absent) is an empty one."""
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.wrong(path, f"{shown(value)} is not a list of {what}")
            return ()
        if len(value) > ENTRIES_MAX:
            self.wrong(path, f"has {len(value):,} entries; at most {ENTRIES_MAX:,} are taken")
            return ()
        found = [read(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return tuple(item for item in found if item is not None)

    def unique(self, named: Sequence[Any], path: str) -> None:
        """Note each name that an earlier entry has already. `named` are the entries as written."""
        seen: dict[str, int] = {}
        for index, entry in enumerate(named):
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if isinstance(name, str):
                if name in seen:
                    self.wrong(f"{path}[{index}].name", f"{shown(name)} is the name of {path}[{seen[name]}] already")
                seen.setdefault(name, index)

    def name(self, value: Any, path: str) -> str | None:
        """Return a name by which a thing is called in URLs and labels."""
        if value is None:
            return None
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            rule = "1 to 100 letters, digits, '.', '_' or '-', a letter or digit first"
            quote = ", in quotes" if isinstance(value, int | float) else ""
            self.wrong(path, f"{shown(value)} is no name; write {rule}{quote}")
            return None
        return value

    def model_name(self, value: Any, path: str) -> str | None:
        """Return a model's name: whatever a sender may call it."""
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= NAME_LENGTH_MAX or clean_name(value) != value:
            self.wrong(path, f"{shown(value)} is no model's name; write 1 to {NAME_LENGTH_MAX} printable characters")
            return None
        return value

    def text(self, value: Any, path: str, what: str) -> str | None:
        """Return a string of at most 1,000 characters."""
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= 1_000:
            self.wrong(path, f"{shown(value)} is not {what}")
            return None
        return value

    def number(
        self, value: Any, path: str, *, least: float = -math.inf, most: float = math.inf, above: float | None = None
    ) -> float | None:
        """Return a finite number from `least` to `most`, and greater than `above` where that is given."""
        if value is None:
            return None
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
        if fits and least <= value <= most and (above is None or value > above):
            return float(value)
        floor = f"greater than {above:g}" if above is not None else f"at least {least:g}" if least > -math.inf else ""
        bounds = " and ".join(part for part in (floor, f"at most {most:g}" if most < math.inf else "") if part)
        self.wrong(path, f"{shown(value)} is not a number{' ' if bounds else ''}{bounds}")
        return None

    def whole(self, value: Any, path: str, *, least: int, most: int) -> int | None:
        """Return a whole number from `least` to `most`."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(path, f"{shown(value)} is not a whole number from {least:,} to {most:,}")
            return None
        return value

    def seconds(self, value: Any, path: str, *, least_s: float, most_s: float) -> float | None:
        """Return the seconds of a duration (`1h`) within bounds."""
        if value is None:
            return None
        try:
            seconds = parse_duration(value) if isinstance(value, str) and len(value) <= 100 else None
        except ValueError:
            seconds = None
        if seconds is None:
            self.wrong(path, f"{shown(value)} is not a duration; write a number and a unit, like 30s, 5m, 1h30m, 30d")
        elif not least_s <= seconds <= most_s:
            self.wrong(path, f"{shown(value)} does not lie between {least_s:g} s and {most_s:g} s")
        else:
            return seconds
        return None

    def threshold(self, value: Any, path: str, *, with_hold: bool = False) -> Threshold | None:
        """Return a threshold written as text."""
        text = self.text(value, path, "a threshold, like p95(latency_ms) < 250")
        if text is None:
            return None
        try:
            return parse_threshold(text, with_hold=with_hold)
        except (ValueError, OverflowError) as error:
            self.wrong(path, str(error))
            return None

    def url(self, value: Any, path: str) -> str | None:
        """Return a plain http or https URL with a host and without user name, password or fragment."""
        if value is None:
            return None
        fault = url_fault(value)
        if fault:
            self.wrong(path, f"{shown(value)} {fault}")
            return None
        return str(value)

    def _line(self, path: str) -> int | None:
        """The line of the path, or of the nearest thing around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            match = _INDEX.fullmatch(path)
            path = match[1] if match else ""
        return self._lines.get("")


def url_fault(url: object) -> str | None:
    """Return what keeps `url` from being called, None for nothing."""
    if not isinstance(url, str) or not _URL.fullmatch(url):
        return "is no URL; write one like http://127.0.0.1:8080/predict, in plain ASCII"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in _DEFAULT_PORTS:
        return "must begin with http:// or https://"
    if not parts.hostname or port == 0:
        return "names no host; write one like http://127.0.0.1:8080/predict"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    return "must not have a fragment (#...)" if parts.fragment else None


def origin_of(url: str) -> str:
    """Return the origin of a URL without fault: scheme, host in lower case, and the port where it is not the default.

    >>> origin_of("HTTP://Example.test:80/a?b"), origin_of("https://[::1]:8443")
    ('http://example.test', 'https://[::1]:8443')
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")


def join(path: str, key: str) -> str:
    """Return the path of a key below a path."""
    if not path or key.startswith("["):
        return path + key
    return f"{path}.{key}"


def plain_data(value: Any, depth: int = 0) -> Any:
    """Return a copy of JSON-like data; ValueError where it is none or is nested too deep."""
    if depth > DEPTH_MAX:
        raise ValueError(f"is nested more than {DEPTH_MAX} deep")
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        if not abs(value) < 1e300:  # NaN and the infinities, too
            raise ValueError(f"{shown(value)} is not a finite number")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_data(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item, depth + 1) for item in value]
    raise ValueError(f"{shown(value)} is no JSON value")
