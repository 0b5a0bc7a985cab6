"""Every read of traces against a recount in plain Python, over random spans of which some arrived twice."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.lake_rows import AT, rows_of

from seamark.core.errors import Invalid
from seamark.core.windows import Window
from seamark.store import trace_tags, traces
from seamark.store.local_lake import LocalLake
from seamark.store.traces import Search
from seamark.wire import traceql
from seamark.wire.traceql import Both, Comparison, Condition, Either, Intrinsic, Scope

HOUR = Window.trailing(AT, 3600)
WORDS = ["a", "b", "a b", 'q"uote', "it's", "10", "true", "ü", "x/y", "3.5"]
Row = dict[str, Any]


def random_traces(seed: int, model: str, count: int) -> list[Row]:
    """Traces of one to five spans; keys of every kind that are sometimes there."""
    rng = random.Random(seed)
    out: list[Row] = []
    for _ in range(count):
        trace_id, parent = rng.randbytes(16), None
        start = HOUR.start + timedelta(microseconds=rng.randrange(0, 3_500_000_000))
        for place in range(rng.randrange(1, 6)):
            span_id = rng.randbytes(8)
            status = rng.choice([0, 0, 1, 2])
            attributes = {
                "text": rng.choice(WORDS),
                "number": rng.choice([-1, 0, 3, 3.5, 10, 2**40]),
                "flag": rng.choice([True, False]),
                "mixed": rng.choice([3, "3", True, None, "a", [1]]),
                'odd "key"/~*': rng.choice(["a", 1]),
            }
            service = rng.choice(["front", "back", "it's"])
            resource = {"service.name": service, "text": rng.choice(["r", "a"]), "zone": rng.choice(WORDS)}
            out.append(
                {
                    "model": model,
                    "trace_id": trace_id,
                    "span_id": span_id,
                    "parent_span_id": parent if place else (None if rng.random() < 0.9 else b"\7" * 8),
                    "service": service,
                    "name": rng.choice(["GET /", "POST /predict", "db"]),
                    "kind": rng.choice([1, 2, 3]),
                    "status": status,
                    "failed": status == 2,
                    "is_request": place == 0,
                    "start_at": start + timedelta(milliseconds=place),
                    "duration_ns": int(rng.lognormvariate(16, 1)),
                    "attributes": _kept(rng, attributes),
                    "resource": _kept(rng, resource),
                }
            )
            parent = span_id
    return out


def _kept(rng: random.Random, attributes: Row) -> str | None:
    kept = {key: value for key, value in attributes.items() if rng.random() < 0.8}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else None


@pytest.fixture(scope="module")
def rows(lake: LocalLake) -> list[Row]:
    """The distinct spans of model `found`; a third was stored twice."""
    distinct = random_traces(1, "found", 150)
    lake.append({"spans": rows_of("spans", distinct[:300] + distinct[:50])})
    lake.append({"spans": rows_of("spans", distinct[200:])})
    lake.append({"spans": rows_of("spans", random_traces(2, "other", 20))})
    return distinct


# --- what a condition means, in plain Python -----------------------------------------------------------------------

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    "=~": lambda a, b: re.fullmatch(b, a) is not None,
    "!~": lambda a, b: re.fullmatch(b, a) is None,
}


def matches(condition: Condition, row: Row, rows: list[Row]) -> bool:
    if isinstance(condition, Both):
        return all(matches(part, row, rows) for part in condition.parts)
    if isinstance(condition, Either):
        return any(matches(part, row, rows) for part in condition.parts)
    return compared(condition, value_of(condition, row, rows))


def compared(asked: Comparison, value: Any) -> bool:
    if asked.value is None:
        return (value is None) == (asked.operator == "=")
    return kind_of(value) == kind_of(asked.value) and OPERATORS[asked.operator](value, asked.value)


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__


def value_of(asked: Comparison, row: Row, rows: list[Row]) -> Any:
    field = asked.field
    if field.scope is Scope.INTRINSIC:
        return intrinsic_of(Intrinsic(field.name), row, rows)
    if field.name == "service.name" and field.scope is not Scope.SPAN:
        return row["service"]
    span, resource = (json.loads(row[name] or "{}") for name in ("attributes", "resource"))
    if field.scope is Scope.SPAN:
        return span.get(field.name)
    if field.scope is Scope.RESOURCE:
        return resource.get(field.name)
    return span[field.name] if field.name in span else resource.get(field.name)


def intrinsic_of(name: Intrinsic, row: Row, rows: list[Row]) -> Any:
    plain = {
        Intrinsic.NAME: "name",
        Intrinsic.STATUS: "status",
        Intrinsic.KIND: "kind",
        Intrinsic.DURATION: "duration_ns",
    }
    if name in plain:
        return row[plain[name]]
    family = [one for one in rows if one["trace_id"] == row["trace_id"]]
    if name is Intrinsic.TRACE_DURATION:
        return extent_ns(family)
    root = next((one for one in family if one["parent_span_id"] is None), None)
    return root and root["name" if name is Intrinsic.ROOT_NAME else "service"]


def start_ns(row: Row) -> int:
    return int((row["start_at"] - AT) / timedelta(microseconds=1)) * 1000


def extent_ns(family: list[Row]) -> int:
    return max(start_ns(one) + one["duration_ns"] for one in family) - min(map(start_ns, family))


QUERIES = [
    "{}",
    "{ true }",
    *(f'{{ span.text {op} "a b" }}' for op in ("=", "!=", ">", ">=", "<", "<=", "=~", "!~")),
    *(f"{{ .number {op} 3 }}" for op in ("=", "!=", ">", ">=", "<", "<=")),
    *(f"{{ .mixed {op} 3 }}" for op in ("=", "!=", ">")),
    "{ .number = 3.5 }",
    "{ .number = 1099511627776 }",
    '{ .mixed = "3" }',
    '{ .mixed != "3" }',
    "{ .mixed = true }",
    "{ .flag != true }",
    "{ .mixed = nil }",
    "{ resource.zone != nil }",
    '{ .text = "r" }',
    '{ .text = "a" }',
    '{ resource.text = "a" || span.text = "a" }',
    '{ .text = "10" }',
    '{ .text = "true" }',
    '{ .text = "q\\"uote" }',
    '{ .text = "it\'s" }',
    '{ .zone = "ü" }',
    '{ .zone = "x/y" }',
    '{ .text =~ "a.*|b" }',
    '{ span."odd \\"key\\"/~*" = "a" }',
    '{ span."odd \\"key\\"/~*" = 1 }',
    '{ resource.service.name = "it\'s" }',
    '{ resource.service.name =~ "f.*" }',
    '{ .service.name != "front" }',
    '{ name = "db" }',
    '{ span:name =~ ".*predict" }',
    "{ status = error }",
    "{ status != unset && kind = server }",
    "{ duration > 10ms }",
    "{ duration <= 8.9ms }",
    "{ traceDuration >= 12ms }",
    '{ rootName = "GET /" }',
    '{ trace:rootService != "front" }',
    '{ rootServiceName =~ "f.*" && status = error }',
    "{ (status = error || duration > 20ms) && (.flag = true || traceDuration < 15ms) && span.number >= 0 }",
    '{ span."\'); DROP TABLE lake.spans; --" = 1 }',
    '{ .text = "\'; DROP TABLE lake.spans; --" }',
    '{ .nobody = "$q0" }',
]


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_found_is_what_plain_python_finds(lake: LocalLake, rows: list[Row], query: str) -> None:
    condition = traceql.parse(query)
    expected = {row["span_id"].hex() for row in rows if matches(condition, row, rows)}
    for slowest in (False, True):
        found = traces.find(lake, Search(HOUR, "found", condition, slowest=slowest), 1000)
        assert len(found) == len(expected)
        assert {span["span_id"] for span in found} == expected
        order = [(-span["duration_ms"] if slowest else 0, HOUR.end - span["start_at"]) for span in found]
        assert order == sorted(order)


@pytest.mark.parametrize(("status", "min_ms", "limit"), [(None, None, 5), ("error", 9.0, 1000), ("ok", 9.0, 7)])
def test_requests_are_found_newest_and_slowest_first(
    lake: LocalLake, rows: list[Row], status: str | None, min_ms: float | None, limit: int
) -> None:
    asked = Search(HOUR, "found", min_ms=min_ms, status=status, requests_only=True)
    expected = [
        row
        for row in rows
        if row["is_request"]
        and (status is None or row["failed"] == (status == "error"))
        and row["duration_ns"] / 1e6 >= (min_ms or 0)
    ]
    newest = sorted(expected, key=lambda row: row["start_at"], reverse=True)[:limit]
    assert [row["span_id"] for row in traces.find(lake, asked, limit)] == [row["span_id"].hex() for row in newest]
    slowest = sorted(expected, key=lambda row: row["duration_ns"], reverse=True)[:limit]
    found = traces.find(
        lake, Search(HOUR, "found", min_ms=min_ms, status=status, requests_only=True, slowest=True), limit
    )
    assert [row["span_id"] for row in found] == [row["span_id"].hex() for row in slowest]


def test_all_models_are_searched_where_none_is_named(lake: LocalLake, rows: list[Row]) -> None:
    assert {"found", "other"} <= {row["model"] for row in traces.find(lake, Search(HOUR), 1000)}


def test_a_wrong_status_and_a_wrong_pattern_are_refused(lake: LocalLake, rows: list[Row]) -> None:
    with pytest.raises(Invalid, match="neither ok nor error"):
        traces.find(lake, Search(HOUR, status="bad"), 1)
    for pattern in ("(", "a{1000}{1000}", "(?=a)"):
        with pytest.raises(Invalid, match="regular expression"):
            traces.find(lake, Search(HOUR, condition=traceql.parse(f'{{ name =~ "{pattern}" }}')), 1)
    assert traces.find(lake, Search(HOUR), 1), "the lake still answers"


@pytest.mark.parametrize(
    "query", ["{}", "{ status = error }", '{ .text = "a" && name != "db" }', "{ traceDuration > 9ms }"]
)
@pytest.mark.parametrize("limit", [3, 200])
def test_traces_are_told_as_a_whole(lake: LocalLake, rows: list[Row], query: str, limit: int) -> None:
    condition = traceql.parse(query)
    hits = [row for row in rows if matches(condition, row, rows)]
    newest: dict[bytes, Any] = {}
    for row in hits:
        newest[row["trace_id"]] = max(newest.get(row["trace_id"], row["start_at"]), row["start_at"])
    expected = sorted(newest, key=lambda trace_id: newest[trace_id], reverse=True)[:limit]
    found = traces.find_traces(lake, Search(HOUR, "found", condition), limit, 2)
    assert [one.trace_id for one in found] == [trace_id.hex() for trace_id in expected]
    for one in found:
        family = [row for row in rows if row["trace_id"].hex() == one.trace_id]
        root = next((row for row in family if row["parent_span_id"] is None), None)
        assert (one.root_name, one.root_service) == ((root["name"], root["service"]) if root else (None, None))
        assert one.start_at == min(row["start_at"] for row in family)
        assert one.duration_ns == extent_ns(family)
        mine = [row for row in family if row in hits]
        assert one.matched == len(mine)
        assert [span["span_id"] for span in one.spans] == [
            row["span_id"].hex() for row in sorted(mine, key=lambda row: (row["start_at"], row["span_id"]))[:2]
        ]
        for service, (spans, failed) in one.services.items():
            of = [row for row in family if row["service"] == service]
            assert (spans, failed) == (len(of), sum(row["failed"] for row in of))


def test_many_spans_of_one_trace_hide_no_other_trace(lake: LocalLake) -> None:
    loud = [
        {"model": "loud", "trace_id": b"\1" * 16, "span_id": n.to_bytes(8, "big"), "start_at": AT}
        for n in range(1, 900)
    ]
    quiet = {"model": "loud", "trace_id": b"\2" * 16, "span_id": b"\3" * 8, "start_at": AT - timedelta(seconds=9)}
    lake.append({"spans": rows_of("spans", [*loud, quiet])})
    asked = Search(Window(AT - timedelta(minutes=1), AT + timedelta(seconds=1)), "loud")
    found = traces.find_traces(lake, asked, 2, 3)
    assert [(one.trace_id[:2], one.matched, len(one.spans)) for one in found] == [("01", 899, 3), ("02", 1, 1)]


# --- one trace -----------------------------------------------------------------------------------------------------


def test_a_trace_is_told_by_start_each_span_once(lake: LocalLake) -> None:
    trace_id = bytes(range(16))
    root = {"trace_id": trace_id, "span_id": b"\0" * 8, "model": "traced", "events": '[{"name":"e"}]'}
    child = {**root, "span_id": b"\1" * 8, "parent_span_id": b"\0" * 8, "start_at": AT + timedelta(milliseconds=2)}
    lake.append({"spans": rows_of("spans", [{**child, "resource": None, "events": None, "links": "[]"}, root, root])})
    lake.append({"spans": rows_of("spans", [root])})
    found = traces.trace(lake, trace_id)
    first, second = found.spans
    assert (found.total, found.partial) == (2, False)
    assert (first["trace_id"], first["span_id"], first["parent_span_id"]) == (trace_id.hex(), "00" * 8, None)
    assert (second["span_id"], second["parent_span_id"], second["resource"]) == ("01" * 8, "00" * 8, None)
    assert (first["attributes"], first["events"]) == ({"http.route": "/predict"}, [{"name": "e"}])
    assert (second["events"], second["links"]) == (None, [])
    assert first["start_at"] == AT
    assert traces.trace(lake, b"").spans == []


def test_a_trace_is_read_within_a_window_and_of_one_model(lake: LocalLake) -> None:
    ends = [
        {"trace_id": b"\5" * 16, "span_id": bytes([n]) * 8, "model": f"m{n}", "start_at": AT + timedelta(hours=n)}
        for n in range(3)
    ]
    lake.append({"spans": rows_of("spans", ends)})
    window = Window(AT, AT + timedelta(hours=2))
    assert [span["model"] for span in traces.trace(lake, b"\5" * 16, window=window).spans] == ["m0", "m1"]
    assert [span["model"] for span in traces.trace(lake, b"\5" * 16, model="m2").spans] == ["m2"]
    assert traces.trace(lake, b"\5" * 16, window=window, model="m2").spans == []


def test_another_models_span_of_the_same_ids_is_never_shown(lake: LocalLake) -> None:
    both = {"trace_id": b"\x31" * 16, "span_id": b"\x32" * 8, "start_at": AT - timedelta(seconds=7)}
    for model in ("mine", "secret"):
        lake.append({"spans": rows_of("spans", [{**both, "model": model, "attributes": json.dumps({"of": model})}])})
    (span,) = traces.find(lake, Search(HOUR, "mine"), 10)
    (found,) = traces.find_traces(lake, Search(HOUR, "mine"), 10, 10)
    assert span["model"] == "mine"
    assert [one["attributes"] for one in found.spans] == [{"of": "mine"}]
    assert len(traces.trace(lake, both["trace_id"]).spans) == 2


@pytest.mark.parametrize("bound", ["TRACE_SPANS_MAX", "TRACE_BYTES_MAX"])
def test_a_very_large_trace_is_told_in_part_and_says_so(
    lake: LocalLake, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    trace_id = bound.encode()[-1:] * 8 + bound.encode()[:8]
    many = [
        {"trace_id": trace_id, "span_id": n.to_bytes(8, "big"), "start_at": AT + timedelta(microseconds=n // 2)}
        for n in range(1, 60)
    ]
    lake.append({"spans": rows_of("spans", [*many[30:], *many, *many[:5]])})
    row_bytes = len('{"http.route":"/predict"}{"service.name":"churn-api"}[]')
    monkeypatch.setattr(traces, "_FEW", 10)
    monkeypatch.setattr(traces, bound, 20 if bound == "TRACE_SPANS_MAX" else 20 * row_bytes)
    found = traces.trace(lake, trace_id)
    assert [span["span_id"] for span in found.spans] == [n.to_bytes(8, "big").hex() for n in range(1, 21)]
    assert (found.total, found.partial) == (59, True)


# --- names and values ----------------------------------------------------------------------------------------------


def test_tag_names_are_those_of_spans_and_resources(lake: LocalLake, rows: list[Row]) -> None:
    found = trace_tags.tag_names(lake, HOUR, model="found")
    assert found[Scope.SPAN] == ["flag", "mixed", "number", 'odd "key"/~*', "text"]
    assert found[Scope.RESOURCE] == ["service.name", "text", "zone"]
    assert trace_tags.tag_names(lake, HOUR, model="nobody") == {Scope.SPAN: [], Scope.RESOURCE: []}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("resource.service.name", {("string", "front"), ("string", "back"), ("string", "it's")}),
        ("span.flag", {("bool", "true"), ("bool", "false")}),
        ("span.mixed", {("int", "3"), ("string", "3"), ("bool", "true"), ("string", "a")}),
        (
            "span.number",
            {("int", "-1"), ("int", "0"), ("int", "3"), ("float", "3.5"), ("int", "10"), ("int", str(2**40))},
        ),
        ("name", {("string", "GET /"), ("string", "POST /predict"), ("string", "db")}),
        ("status", {("keyword", "unset"), ("keyword", "ok"), ("keyword", "error")}),
        ("duration", set()),
        ("span.nobody", set()),
    ],
)
def test_tag_values_carry_their_types(
    lake: LocalLake, rows: list[Row], field: str, expected: set[tuple[str, str]]
) -> None:
    assert set(trace_tags.tag_values(lake, traceql.parse_field(field), HOUR, model="found")) == expected


def test_tag_values_are_those_of_spans_that_match(lake: LocalLake, rows: list[Row]) -> None:
    condition = traceql.parse('{ name = "db" && rootServiceName = "front" }')
    found = trace_tags.tag_values(lake, traceql.parse_field(".zone"), HOUR, model="found", condition=condition)
    zones = [
        value_of(Comparison(traceql.parse_field(".zone"), "=", ""), row, rows)
        for row in rows
        if matches(condition, row, rows)
    ]
    assert {value for _, value in found} == {zone for zone in zones if zone is not None}


@pytest.mark.parametrize("read", ["names", "values"])
def test_names_and_values_are_read_from_the_newest_rows(
    lake: LocalLake, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    model = f"busy-{read}"
    old = [
        {"model": model, "start_at": HOUR.start + timedelta(seconds=n), "attributes": '{"old":"1"}'} for n in range(300)
    ]
    new = [{"model": model, "start_at": AT - timedelta(seconds=1 + n), "attributes": '{"new":"1"}'} for n in range(60)]
    lake.append({"spans": rows_of("spans", old + new)})
    monkeypatch.setattr(trace_tags, "JSON_ROWS_MAX", 50)
    if read == "names":
        assert trace_tags.tag_names(lake, HOUR, model=model)[Scope.SPAN] == ["new"]
    else:
        assert trace_tags.tag_values(lake, traceql.parse_field("span.old"), HOUR, model=model) == []
        assert trace_tags.tag_values(lake, traceql.parse_field("span.new"), HOUR, model=model) == [("string", "1")]
