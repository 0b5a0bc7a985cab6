"""TraceQL text becomes a condition over spans: one pair of braces, all else is refused, with its place.

{ resource.service.name = "checkout" && (span.http.route =~ "/pay.*" || .retries > 2) && status = error }
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from seamark.core.errors import Invalid, Problem
from seamark.core.records import SpanKind, SpanStatus

TEXT_MAX = 8_192  # characters of a query
DEPTH_MAX = 32  # parentheses inside each other
COMPARISONS_MAX = 64
PATTERN_MAX = 512  # characters of a regular expression
NAME_MAX = 256  # characters of an attribute's name

Value = str | int | float | bool | None


class Scope(StrEnum):
    """Where a field is looked for. ANY: among the span's attributes, and where it is not there in the resource."""

    SPAN = "span"
    RESOURCE = "resource"
    ANY = ""
    INTRINSIC = "intrinsic"


class Intrinsic(StrEnum):
    """What every span or trace has without being told in an attribute; durations are nanoseconds."""

    NAME = "name"
    STATUS = "status"
    STATUS_MESSAGE = "statusMessage"
    KIND = "kind"
    DURATION = "duration"
    TRACE_DURATION = "traceDuration"
    ROOT_NAME = "rootName"
    ROOT_SERVICE_NAME = "rootServiceName"


# What people and Grafana write -> the intrinsic that is meant.
INTRINSICS: dict[str, Intrinsic] = {
    **{str(one): one for one in Intrinsic},
    "span:name": Intrinsic.NAME,
    "span:status": Intrinsic.STATUS,
    "span:statusMessage": Intrinsic.STATUS_MESSAGE,
    "span:kind": Intrinsic.KIND,
    "span:duration": Intrinsic.DURATION,
    "trace:duration": Intrinsic.TRACE_DURATION,
    "trace:rootName": Intrinsic.ROOT_NAME,
    "trace:rootService": Intrinsic.ROOT_SERVICE_NAME,
    "trace:rootServiceName": Intrinsic.ROOT_SERVICE_NAME,
}
OF_TRACES = frozenset({Intrinsic.TRACE_DURATION, Intrinsic.ROOT_NAME, Intrinsic.ROOT_SERVICE_NAME})
STATUSES = {status.name.lower(): int(status) for status in SpanStatus}
KINDS = {kind.name.lower(): int(kind) for kind in SpanKind}
DURATIONS = frozenset({Intrinsic.DURATION, Intrinsic.TRACE_DURATION})


@dataclass(frozen=True)
class Field:
    """One attribute or intrinsic. `name` of an intrinsic is a value of Intrinsic."""

    scope: Scope
    name: str


@dataclass(frozen=True)
class Comparison:
    """`field operator value`. Statuses and kinds are OTLP's numbers, durations nanoseconds, None is nil."""

    field: Field
    operator: str  # = != =~ !~ > >= < <=
    value: Value


@dataclass(frozen=True)
class Both:
    """Every part holds; without parts every span does."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Either:
    """At least one part holds."""

    parts: tuple[Condition, ...]


Condition = Comparison | Both | Either
EVERYTHING = Both()


def fields(condition: Condition) -> list[Field]:
    """Return the fields a condition looks at, in the order they are written."""
    if isinstance(condition, Comparison):
        return [condition.field]
    return [field for part in condition.parts for field in fields(part)]


def parse(text: str) -> Condition:
    """Return what a query asks of a span; Invalid says what is wrong, at which character, and what is read."""
    if len(text) > TEXT_MAX:
        raise _wrong(0, f"the query has {len(text):,} characters, at most {TEXT_MAX:,} are read")
    return _Parser(text).query()


def parse_field(text: str) -> Field:
    """Return the field a single name means (`resource.service.name`, `.a`, `name`, `span."a b"`); Invalid if none."""
    if len(text) > NAME_MAX + 32:
        raise _wrong(0, f"a name has at most {NAME_MAX} characters")
    parser = _Parser(text)
    field = parser.field()
    parser.end("a single name of an attribute or intrinsic is read here")
    return field


def parse_tags(text: str) -> Condition:
    """Return what logfmt pairs (`service.name=api http.route="/a b"`) ask: each value as it is, of text or number."""
    if len(text) > TEXT_MAX:
        raise _wrong(0, f"the tags have {len(text):,} characters, at most {TEXT_MAX:,} are read", "tags")
    parts: list[Condition] = []
    place = 0
    while text[place:].strip():
        found = _PAIR.match(text, place)
        if found is None or len(parts) >= COMPARISONS_MAX:
            raise _wrong(place, f"write up to {COMPARISONS_MAX} pairs like service.name=api", "tags")
        place = found.end()
        raw = found["quoted"]
        value = _unescaped(raw, found.start("quoted")) if raw is not None else found["bare"]
        name = found["name"]
        intrinsic = INTRINSICS.get(name)
        if intrinsic in (Intrinsic.STATUS, Intrinsic.KIND):
            parts.append(_worded(intrinsic, "=", value.lower(), found.start()))
        elif intrinsic in (Intrinsic.NAME, Intrinsic.ROOT_NAME, Intrinsic.ROOT_SERVICE_NAME):
            parts.append(Comparison(Field(Scope.INTRINSIC, intrinsic), "=", value))
        else:
            parts.append(_tag(Field(Scope.ANY, name), value))
    return Both(tuple(parts))


def _tag(field: Field, text: str) -> Condition:
    """Tags carry no types: a number is looked for as text too."""
    told: list[Condition] = [Comparison(field, "=", text)]
    if _NUMBER.fullmatch(text):
        told.append(Comparison(field, "=", _number(text)))
    elif text in _BOOLEANS:
        told.append(Comparison(field, "=", _BOOLEANS[text]))
    return told[0] if len(told) == 1 else Either(tuple(told))


# --- words ---------------------------------------------------------------------------------------------------------

_TRUE = re.compile(r"true(?=[\s{}()&|])")
_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"=~|!~|!=|>=|<=|=|>|<")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_RAW_STRING = re.compile(r"`([^`]*)`")
_WORD = re.compile(r"[^\s{}()=~!<>&|^,\"`]+")
_PAIR = re.compile(r'\s*(?P<name>[^\s="]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]*))(?=\s|$)', re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'", "`": "`", "a": "\a", "b": "\b", "f": "\f"}
_BOOLEANS = {"true": True, "false": False}
_SCOPES = {"span.": Scope.SPAN, "resource.": Scope.RESOURCE, ".": Scope.ANY}
_OTHER_SCOPES = ("event", "link", "instrumentation", "parent", "trace", "span")
_READ = "one pair of braces with comparisons in it is read; pipelines and relations between spans are not"


class _Parser:
    """A reader of one query, by recursive descent. `place` counts characters from 0."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.comparisons = 0
        self._skip()

    def query(self) -> Condition:
        if not self.take("{"):
            raise self.wrong(f"a query begins with an opening brace; {_READ}")
        if self.take("}"):
            condition: Condition = EVERYTHING
        else:
            condition = self.either(0)
            if not self.take("}"):
                raise self.wrong("&&, || or the closing brace is expected here")
        self.end(_READ)
        return condition

    def end(self, right: str) -> None:
        if self.place < len(self.text):
            raise self.wrong(f"nothing may stand here: {right}")

    def either(self, depth: int) -> Condition:
        parts = [self.both(depth)]
        while self.take("||"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        while self.take("&&"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def one(self, depth: int) -> Condition:
        if self.text.startswith("!", self.place):
            raise self.wrong("a comparison is expected here; negation is written != or !~")
        if self.take("("):
            if depth >= DEPTH_MAX:
                raise self.wrong(f"at most {DEPTH_MAX} parentheses inside each other are read")
            inner = self.either(depth + 1)
            if not self.take(")"):
                raise self.wrong("&&, || or a closing parenthesis is expected here")
            return inner
        if _TRUE.match(self.text, self.place):
            self.place += len("true")
            self._skip()
            return EVERYTHING
        return self.comparison()

    def comparison(self) -> Comparison:
        self.comparisons += 1
        if self.comparisons > COMPARISONS_MAX:
            raise self.wrong(f"at most {COMPARISONS_MAX} comparisons are read")
        field = self.field()
        found = _OPERATOR.match(self.text, self.place)
        if found is None:
            raise self.wrong("one of = != =~ !~ > >= < <= is expected here")
        operator_at = self.place
        self._go(found.end())
        if field.scope is Scope.INTRINSIC:
            return self._of_intrinsic(Intrinsic(field.name), found[0], operator_at)
        at = self.place
        value = self._value()
        _check(found[0], value, operator_at, at)
        return Comparison(field, found[0], value)

    def field(self) -> Field:
        at = self.place
        scope_text = next((text for text in _SCOPES if self.text.startswith(text, at)), None)
        if scope_text is not None:
            self.place += len(scope_text)
            return Field(_SCOPES[scope_text], self._name())
        found = _WORD.match(self.text, at)
        word = found[0] if found else ""
        if word in INTRINSICS:
            self._go(at + len(word))
            return Field(Scope.INTRINSIC, INTRINSICS[word])
        if re.split("[.:]", word)[0] in _OTHER_SCOPES:
            raise self.wrong(f"{word[:60]!r} is not read: attributes of span. and resource. are, and {_listed()}")
        raise self.wrong(f"a field is expected here: span.x, resource.x, .x or one of {_listed()}")

    def _name(self) -> str:
        """An attribute's name; any part of it may be quoted."""
        at, parts = self.place, []
        while True:
            if found := _STRING.match(self.text, self.place):
                parts.append(_unescaped(found[1], self.place + 1))
            elif found := _WORD.match(self.text, self.place):
                parts.append(found[0])
            else:
                break
            self.place = found.end()
        name = "".join(parts)
        if not 0 < len(name) <= NAME_MAX:
            self.place = at
            raise self.wrong(f"the name of an attribute is expected here, of at most {NAME_MAX} characters")
        self._skip()
        return name

    def _value(self) -> Value:
        at = self.place
        for pattern in (_STRING, _RAW_STRING):
            if found := pattern.match(self.text, at):
                self._go(found.end())
                return _unescaped(found[1], at + 1) if pattern is _STRING else found[1]
        found = _WORD.match(self.text, at)
        word = found[0] if found else ""
        if word in _BOOLEANS or word == "nil":
            self._go(at + len(word))
            return _BOOLEANS.get(word)
        if _NUMBER.fullmatch(word):
            self._go(at + len(word))
            return _number(word)
        if _DURATION.fullmatch(word):
            raise self.wrong("durations are compared with duration and traceDuration; write a number for an attribute")
        raise self.wrong('a value is expected here: "text", a number, true, false or nil')

    def _of_intrinsic(self, name: Intrinsic, operator: str, operator_at: int) -> Comparison:
        at = self.place
        found = _WORD.match(self.text, at)
        word = found[0] if found else ""
        if name in (Intrinsic.STATUS, Intrinsic.KIND):
            made = _worded(name, operator, word, at, operator_at)
        elif name in DURATIONS:
            made = Comparison(Field(Scope.INTRINSIC, name), operator, _duration_ns(word, at))
            if operator in ("=~", "!~"):
                raise _wrong(operator_at, f"{name} is compared by = != > >= < <=")
        else:
            value = self._value()
            if not isinstance(value, str):
                raise _wrong(at, f'{name} is compared with text: write it in quotes, as in {name} = "x"')
            _check(operator, value, operator_at, at)
            return Comparison(Field(Scope.INTRINSIC, name), operator, value)
        self._go(at + len(word))
        return made

    def take(self, token: str) -> bool:
        if not self.text.startswith(token, self.place):
            return False
        self._go(self.place + len(token))
        return True

    def wrong(self, reason: str) -> Invalid:
        return _wrong(self.place, reason)

    def _go(self, place: int) -> None:
        self.place = place
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.place)
        self.place = found.end() if found else self.place


def _listed() -> str:
    return ", ".join(Intrinsic)


def _worded(name: Intrinsic, operator: str, word: str, at: int, operator_at: int = 0) -> Comparison:
    known = STATUSES if name is Intrinsic.STATUS else KINDS
    if operator not in ("=", "!="):
        raise _wrong(operator_at, f"{name} is compared by = and !=")
    if word not in known:
        raise _wrong(at, f"{name} is one of {', '.join(known)}, without quotes")
    return Comparison(Field(Scope.INTRINSIC, name), operator, known[word])


def _check(operator: str, value: Value, operator_at: int, at: int) -> None:
    if operator in ("=~", "!~"):
        if not isinstance(value, str):
            raise _wrong(at, "a regular expression is written in quotes")
        if len(value) > PATTERN_MAX:
            raise _wrong(at, f"a regular expression has at most {PATTERN_MAX} characters")
    elif operator not in ("=", "!=") and (value is None or isinstance(value, bool)):
        raise _wrong(operator_at, "true, false and nil are compared by = and !=")


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else math.copysign(1.7e308, number)


def _duration_ns(word: str, at: int) -> int:
    if not _DURATION.fullmatch(word) or len(word) > 40:
        raise _wrong(at, "a duration is expected here, such as 10ms, 1.5s or 1h30m")
    return min(round(sum(float(n) * _UNITS_NS[unit] for n, unit in _DURATION_PART.findall(word))), 2**63 - 1)


def _unescaped(raw: str, at: int) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            number = int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise _wrong(at + found.start(), f"{found[0]} is no character")
            return chr(number)
        if found[4] not in _ESCAPES:
            raise _wrong(at + found.start(), f"{found[0]!r} is no escape; a backslash itself is written twice")
        return _ESCAPES[found[4]]

    return _ESCAPE.sub(one, raw)


def _wrong(at: int, reason: str, field: str = "q") -> Invalid:
    message = f"character {at + 1}: {reason}"
    return Invalid(f"{field}, {message}", [Problem(field, message)])
