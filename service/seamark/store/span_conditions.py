"""A TraceQL condition becomes SQL over lake.spans; every name and value in it is a parameter."""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from seamark.core.errors import Invalid, Problem
from seamark.wire.spans import STATUS_MESSAGE
from seamark.wire.traceql import OF_TRACES, Both, Comparison, Condition, Either, Field, Intrinsic, Scope, fields

SERVICE_NAME = "service.name"

_COLUMNS = {
    Intrinsic.NAME: "name",
    Intrinsic.STATUS: "status",
    Intrinsic.KIND: "kind",
    Intrinsic.DURATION: "duration_ns",
}
_TRACE_COLUMNS = {
    Intrinsic.ROOT_NAME: ("roots", "root_name"),
    Intrinsic.ROOT_SERVICE_NAME: ("roots", "root_service"),
    Intrinsic.TRACE_DURATION: ("extents", "trace_ns"),
}
# What is known of a trace as a whole: from its spans between $wide_start and $wide_end.
_WITH = {
    "roots": (
        "roots AS (SELECT trace_id, arg_min(name, start_at) AS root_name, arg_min(service, start_at) AS root_service"
        " FROM lake.spans WHERE parent_span_id IS NULL AND {wide} GROUP BY trace_id)"
    ),
    "extents": (
        "extents AS (SELECT trace_id, max(epoch_us(start_at) * 1000 + duration_ns) - min(epoch_us(start_at)) * 1000"
        " AS trace_ns FROM lake.spans WHERE {wide} GROUP BY trace_id)"
    ),
}
_WIDE = "start_at >= $wide_start AND start_at < $wide_end"
_OF_MODEL = " AND model = $model"
_NUMBERS = "('BIGINT', 'UBIGINT', 'DOUBLE')"


@dataclass(frozen=True)
class SpanCondition:
    """SQL that is true for spans that match, else false or null; it may ask the tables that `tables` defines.

    Where `whole_traces` is set, $wide_start and $wide_end (and $model, where a model was given) must be bound too.
    """

    text: str
    parameters: dict[str, Any]
    tables: tuple[str, ...]

    @property
    def whole_traces(self) -> bool:
        """Whether it asks for more than a span by itself."""
        return bool(self.tables)


def compiled(condition: Condition, *, one_model: bool) -> SpanCondition:
    """Return a condition as SQL; Invalid where a regular expression in it is none. `one_model`: see $model alone."""
    writer = _Writer()
    text = writer.condition(condition)
    asked = {_TRACE_COLUMNS[Intrinsic(f.name)][0] for f in fields(condition) if _of_trace(f)}
    wide = _WIDE + (_OF_MODEL if one_model else "")
    return SpanCondition(text, writer.parameters, tuple(_WITH[name].format(wide=wide) for name in sorted(asked)))


def pointer(name: str) -> str:
    """Return the JSON pointer of an attribute: unlike a path it can hold any character of a name."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


@lru_cache(maxsize=256)
def check_pattern(pattern: str) -> None:
    """Refuse what the lake could not use as a regular expression (RE2's syntax, matched as a whole), as Invalid."""
    with duckdb.connect(":memory:", config={"threads": 1}) as scratch:
        try:
            scratch.execute("SELECT regexp_full_match('', ?)", [pattern.replace("\0", "\ufffd")])
        except duckdb.Error as error:
            message = f"the regular expression {pattern[:80]!r} cannot be used: {str(error)[:200]}"
            raise Invalid(f"q, {message}", [Problem("q", message)]) from None


def _of_trace(field: Field) -> bool:
    return field.scope is Scope.INTRINSIC and field.name in OF_TRACES


class _Writer:
    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def condition(self, condition: Condition) -> str:
        if isinstance(condition, Both):
            return self._joined(" AND ", condition.parts) if condition.parts else "true"
        if isinstance(condition, Either):
            return self._joined(" OR ", condition.parts)
        return self._comparison(condition)

    def _joined(self, word: str, parts: Iterable[Condition]) -> str:
        return f"({word.join(self.condition(part) for part in parts)})"

    def _comparison(self, asked: Comparison) -> str:
        field = asked.field
        if asked.operator in ("=~", "!~"):
            check_pattern(str(asked.value))
        if field.scope is not Scope.INTRINSIC:
            return self._attribute(asked)
        if _of_trace(field):
            table, column = _TRACE_COLUMNS[Intrinsic(field.name)]
            return f"trace_id IN (SELECT trace_id FROM {table} WHERE {self._plain(column, asked)})"
        if field.name == Intrinsic.STATUS_MESSAGE:
            return self._attribute(Comparison(Field(Scope.SPAN, STATUS_MESSAGE), asked.operator, asked.value))
        return self._plain(_COLUMNS[Intrinsic(field.name)], asked)

    def _attribute(self, asked: Comparison) -> str:
        field, value = asked.field, asked.value
        if field.name == SERVICE_NAME and field.scope is not Scope.SPAN and isinstance(value, str):
            return self._plain("service", asked)
        place = self.bind(pointer(field.name))
        document = {
            Scope.SPAN: f"json_extract(attributes, {place})",
            Scope.RESOURCE: f"json_extract(resource, {place})",
            Scope.ANY: f"coalesce(json_extract(attributes, {place}), json_extract(resource, {place}))",
        }[field.scope]
        kind, text = f"json_type({document})", f"json_extract_string({document}, '$')"
        if value is None:
            absent = f"coalesce({kind}, 'NULL') = 'NULL'"
            return f"({absent})" if asked.operator == "=" else f"(NOT {absent})"
        if isinstance(value, bool):
            wanted = self.bind("true" if value else "false")
            return f"({kind} = 'BOOLEAN' AND {text} {_SAME[asked.operator]} {wanted})"
        if isinstance(value, str):
            return f"({self._hint(asked)}{kind} = 'VARCHAR' AND {self._plain(text, asked)})"
        wanted = self.bind(float(value))
        return f"({kind} IN {_NUMBERS} AND TRY_CAST({text} AS DOUBLE) {_SAME[asked.operator]} {wanted})"

    def _hint(self, asked: Comparison) -> str:
        """A cheap look for the text anywhere in the row, so that most rows' JSON is never read.

        Only for text that stands in JSON as it is, however the JSON was written.
        """
        value = asked.value
        if asked.operator != "=" or not isinstance(value, str) or not value or not _stands_as_it_is(value):
            return ""
        word = self.bind(value)
        columns = {Scope.SPAN: ("attributes",), Scope.RESOURCE: ("resource",)}.get(
            asked.field.scope, ("attributes", "resource")
        )
        return f"({' OR '.join(f'contains({column}, {word})' for column in columns)}) AND "

    def _plain(self, expression: str, asked: Comparison) -> str:
        wanted = self.bind(asked.value)
        if asked.operator in ("=~", "!~"):
            negated = "NOT " if asked.operator == "!~" else ""
            return f"{negated}regexp_full_match({expression}, {wanted})"
        return f"{expression} {_SAME[asked.operator]} {wanted}"

    def bind(self, value: Any) -> str:
        name = f"q{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


# The operators as SQL: text of this file, whatever a query holds.
_SAME = {"=": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}


def _stands_as_it_is(text: str) -> bool:
    return text.isascii() and text.isprintable() and not any(letter in '"\\/<>&' for letter in text)
