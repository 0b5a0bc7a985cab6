"""TraceQL: what is read, what it means, and that whatever else arrives is refused quickly with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import Invalid
from seamark.wire.traceql import (
    COMPARISONS_MAX,
    DEPTH_MAX,
    EVERYTHING,
    NAME_MAX,
    PATTERN_MAX,
    Both,
    Comparison,
    Condition,
    Either,
    Field,
    Intrinsic,
    Scope,
    fields,
    parse,
    parse_field,
    parse_tags,
)


def attribute(name: str, operator: str, value: str | float | bool | None, scope: Scope = Scope.ANY) -> Comparison:
    return Comparison(Field(scope, name), operator, value)


def intrinsic(name: Intrinsic, operator: str, value: str | int) -> Comparison:
    return Comparison(Field(Scope.INTRINSIC, name), operator, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", EVERYTHING),
        (" {\n\t} ", EVERYTHING),
        ("{ true }", EVERYTHING),
        ('{.a="b"}', attribute("a", "=", "b")),
        ('{ span.http.route = "/x" }', attribute("http.route", "=", "/x", Scope.SPAN)),
        ('{ resource.service.name != "x" }', attribute("service.name", "!=", "x", Scope.RESOURCE)),
        ("{ .a/b:c-d >= 1 }", attribute("a/b:c-d", ">=", 1)),
        ('{ span."a b" = 1 }', attribute("a b", "=", 1, Scope.SPAN)),
        ('{ ."a\\"}".c < -1.5e3 }', attribute('a"}.c', "<", -1500.0)),
        ("{ .a = `raw \\n` }", attribute("a", "=", "raw \\n")),
        ('{ .a = "\\t\\u00fc\\x41\\\\" }', attribute("a", "=", "\tüA\\")),
        ("{ .a = true }", attribute("a", "=", True)),
        ("{ .true = false }", attribute("true", "=", False)),
        ("{ .a != nil }", attribute("a", "!=", None)),
        ("{ .a = 0 }", attribute("a", "=", 0)),
        ('{ .a =~ "x.*" }', attribute("a", "=~", "x.*")),
        ('{ .a !~ "x|y" }', attribute("a", "!~", "x|y")),
        ('{ name = "x" }', intrinsic(Intrinsic.NAME, "=", "x")),
        ('{ span:name =~ "x" }', intrinsic(Intrinsic.NAME, "=~", "x")),
        ("{ status = error }", intrinsic(Intrinsic.STATUS, "=", 2)),
        ("{ span:status != unset }", intrinsic(Intrinsic.STATUS, "!=", 0)),
        ("{ kind = server }", intrinsic(Intrinsic.KIND, "=", 2)),
        ("{ kind = unspecified }", intrinsic(Intrinsic.KIND, "=", 0)),
        ("{ duration > 10ms }", intrinsic(Intrinsic.DURATION, ">", 10_000_000)),
        ("{ span:duration <= 1h30m1.5s }", intrinsic(Intrinsic.DURATION, "<=", 5_401_500_000_000)),
        ("{ traceDuration < 5us }", intrinsic(Intrinsic.TRACE_DURATION, "<", 5000)),
        ("{ trace:duration < 5µs }", intrinsic(Intrinsic.TRACE_DURATION, "<", 5000)),
        ('{ trace:rootService = "x" }', intrinsic(Intrinsic.ROOT_SERVICE_NAME, "=", "x")),
        ('{ rootName = "x" }', intrinsic(Intrinsic.ROOT_NAME, "=", "x")),
    ],
)
def test_one_comparison(text: str, expected: Condition) -> None:
    assert parse(text) == expected


def test_and_binds_closer_than_or_and_parentheses_closest() -> None:
    a, b, c = (attribute(name, "=", 1) for name in "abc")
    assert parse("{ .a=1 || .b=1 && .c=1 }") == Either((a, Both((b, c))))
    assert parse("{ (.a=1||.b=1)&&.c=1 }") == Both((Either((a, b)), c))
    assert parse("{ ((.a=1)) }") == a
    assert fields(parse("{ (.a=1||.b=1)&&.c=1 }")) == [a.field, b.field, c.field]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", 1, "opening brace"),
        ("service.name = 1", 1, "opening brace"),
        ("{", 2, "a field is expected"),
        ("{ .a }", 6, "one of = !="),
        ("{ .a = }", 8, "a value is expected"),
        ("{ .a = b }", 8, "a value is expected"),
        ('{ .a = "x }', 8, "a value is expected"),
        ('{ .a = "\\q" }', 9, "no escape"),
        ('{ .a = "\\ud800" }', 9, "no character"),
        ("{ .a = 1 .b = 2 }", 10, "&&, || or the closing brace"),
        ("{ (.a = 1 }", 11, "closing parenthesis"),
        ("{ .a = 1 && }", 13, "a field is expected"),
        ("{ . = 1 }", 4, "name of an attribute"),
        ("{ !(.a = 1) }", 3, "negation"),
        ("{ foo = 1 }", 3, "a field is expected"),
        ("{ event.name = 1 }", 3, "is not read"),
        ("{ parent.x = 1 }", 3, "is not read"),
        ("{ .a = 10ms }", 8, "durations are compared with"),
        ("{ .a > true }", 6, "compared by = and !="),
        ("{ .a < nil }", 6, "compared by = and !="),
        ("{ .a =~ 3 }", 9, "in quotes"),
        ("{ name = 3 }", 10, "in quotes"),
        ("{ status = 2 }", 12, "unset, ok, error"),
        ('{ status = "error" }', 12, "without quotes"),
        ("{ status > ok }", 10, "compared by = and !="),
        ("{ kind =~ server }", 8, "compared by = and !="),
        ("{ duration > 10 }", 14, "a duration is expected"),
        ("{ duration =~ 10ms }", 12, "compared by"),
        ("{ .a = 1 } | count() > 2", 12, "pipelines"),
        ("{ .a = 1 } && { .b = 1 }", 12, "relations between spans"),
        ("{ .a = 1 } >> { .b = 1 }", 12, "relations between spans"),
        ("{ .a = 1 } with (most_recent=true)", 12, "nothing may stand here"),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(text: str, place: int, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert refused.value.problems[0].field == "q"
    assert f"character {place}: " in refused.value.message
    assert words in refused.value.message


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "{" + "(" * 5_000,
        "{" + "(" * (DEPTH_MAX + 1) + ".a=1" + ")" * (DEPTH_MAX + 1) + "}",
        "{ " + " && ".join([".a=1"] * (COMPARISONS_MAX + 1)) + " }",
        "{ ." + "a" * (NAME_MAX + 1) + " = 1 }",
        '{ .a =~ "' + "x" * (PATTERN_MAX + 1) + '" }',
        "{ .a = " + "9" * 5_000 + "x }",
        "{" + " " * 1_000_000 + "}",
        "x" * 1_000_000,
        '{ .a = "' + "\\" * 8_001 + '" }',
        "{ duration > " + "1h" * 4_000 + " }",
        "\0" * 100,
        "{ \0 }",
    ],
)
def test_hostile_queries_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert len(refused.value.message) < 600


def test_as_much_as_is_allowed_is_read() -> None:
    assert parse("{" + "(" * DEPTH_MAX + ".a=1" + ")" * DEPTH_MAX + "}") == attribute("a", "=", 1)
    many = parse("{ " + " && ".join([".a=1"] * COMPARISONS_MAX) + " }")
    assert len(fields(many)) == COMPARISONS_MAX
    assert parse("{ .a = " + "9" * 400 + " }") == attribute("a", "=", 1.7e308)
    assert parse('{ .a = "\0" }') == attribute("a", "=", "\0")


@given(st.text(max_size=200) | st.text(alphabet='{}()=~!<>&|. "\\`ab1msnil', max_size=60).map(lambda text: "{" + text))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse, parse_tags, parse_field):
        try:
            read(text)
        except Invalid:
            continue


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.text(min_size=1, max_size=50),
    st.sampled_from(["=", "!=", ">", "<", ">=", "<="]),
    st.text(max_size=50) | st.integers(-(10**17), 10**17),
)
def test_what_is_written_is_what_is_read(name: str, operator: str, value: str | int) -> None:
    shown = _quoted(value) if isinstance(value, str) else str(value)
    assert parse(f"{{ span.{_quoted(name)} {operator} {shown} }}") == attribute(name, operator, value, Scope.SPAN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", Field(Scope.INTRINSIC, "name")),
        ("trace:duration", Field(Scope.INTRINSIC, "traceDuration")),
        ("resource.service.name", Field(Scope.RESOURCE, "service.name")),
        (".a/b", Field(Scope.ANY, "a/b")),
        ('span."a b"', Field(Scope.SPAN, "a b")),
    ],
)
def test_one_field(text: str, expected: Field) -> None:
    assert parse_field(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "span.a = 1", "span.", "x" * 1_000_000])
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_field(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", EVERYTHING),
        ("service.name=api", Both((attribute("service.name", "=", "api"),))),
        ('a="b c"  name=x', Both((attribute("a", "=", "b c"), intrinsic(Intrinsic.NAME, "=", "x")))),
        ("n=3", Both((Either((attribute("n", "=", "3"), attribute("n", "=", 3))),))),
        ("f=true", Both((Either((attribute("f", "=", "true"), attribute("f", "=", True))),))),
        ("status=error", Both((intrinsic(Intrinsic.STATUS, "=", 2),))),
        ("a=", Both((attribute("a", "=", ""),))),
    ],
)
def test_tags_are_pairs_without_types(text: str, expected: Condition) -> None:
    assert parse_tags(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", 'a="b', "a = b", "status=bad", "a=1 " * 1000, "a=" + "x" * 9_000])
def test_tags_that_are_no_pairs_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_tags(text)
    assert refused.value.problems
