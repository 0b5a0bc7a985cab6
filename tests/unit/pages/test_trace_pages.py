"""The trace pages: the order and place of bars, what is said of what is missing, and what a form asks for."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from sample_facts import AT
from sample_traces import CIRCLE_ID, MANY_ID, START, TRACE_ID, checkout, sample_trace, span

from seamark.core.errors import Invalid
from seamark.store.traces import Trace
from seamark.web.page_traces import SPANS_SHOWN, TraceForm, search_of, trace_page, trace_url
from seamark.wire import traceql


def page_of(*rows):
    return trace_page(Trace(list(rows), len(rows)), AT)


def test_children_follow_their_parents_by_start():
    rows = sorted(checkout(), key=lambda row: row["start_at"])
    page = trace_page(Trace(rows, 7), AT)
    assert [(bar.name, bar.level) for bar in page.spans] == [
        ("POST /predict", 1),
        ("validate", 2),
        ("GET /features/{customer}", 2),
        ("SELECT features", 3),
        ("model.predict", 2),
        ("POST /charge", 2),
        ("publish prediction", 1),
    ]
    assert {bar.name: bar.lost for bar in page.spans if bar.lost} == {
        "publish prediction": f"parent {99:016x} was not received"
    }
    assert page.cut is None


def test_bars_lie_by_start_and_duration():
    page = page_of(span(1, None, "a", "x", 0, 200), span(2, 1, "b", "y", 50, 100), span(3, 1, "c", "x", 200, 0))
    assert [(bar.x, bar.width) for bar in page.spans] == [
        ("0.000%", "100.000%"),
        ("25.000%", "50.000%"),
        ("100.000%", "0.200%"),
    ]
    assert [bar.series for bar in page.spans] == ["s0", "s1", "s0"]
    assert [label for _, _, label in page.ticks] == ["0 ms", "50.0 ms", "100 ms", "150 ms", "200 ms"]


def test_a_child_that_began_before_its_parent_begins_the_picture():
    page = page_of(span(1, None, "late clock", "x", 30, 10), span(2, 1, "early clock", "y", 0, 10))
    assert [(bar.name, bar.x) for bar in page.spans] == [("late clock", "75.000%"), ("early clock", "0.000%")]


def test_parents_that_go_round_are_shown_and_said():
    found = sample_trace("full", bytes.fromhex(CIRCLE_ID))
    told = [(bar.name, bar.level, bar.lost) for bar in trace_page(found, AT).spans]
    assert told == [("hen", 1, "parent 0000000000000002 goes round in a circle"), ("egg", 2, None)]


def test_a_chain_of_thousands_is_drawn_without_recursion():
    rows = [span(n, n - 1 if n > 1 else None, f"n{n}", "x", n, 1) for n in range(1, 5_001)]
    page = trace_page(Trace(rows, 5_000), AT)
    assert (page.spans[-1].level, page.spans[-1].indent) == (SPANS_SHOWN, 12)


def test_what_is_left_out_is_said():
    page = trace_page(sample_trace("full", bytes.fromhex(MANY_ID)), AT)
    assert len(page.spans) == SPANS_SHOWN
    assert page.cut == "This trace has 120,000 spans. The first 1,000 are shown; the API gives the first 1,500."
    assert page.summary.startswith("120,000 spans")


@pytest.mark.parametrize(
    ("statuses", "word"),
    [((0, 0), "OK"), ((2, 0), "Failed"), ((0, 2), "Failed inside")],
    ids=["ok", "failed", "inside"],
)
def test_a_failure_is_told_in_a_word(statuses, word):
    rows = [span(n + 1, n or None, "x", "x", n, 9, status=status) for n, status in enumerate(statuses)]
    assert page_of(*rows).chip.text == word


def test_the_page_shows_what_a_span_carries(client):
    page = client().get(f"/traces/{TRACE_ID}").text
    for words in ("exception.message", "the issuer said no", "card refused", "feature-store", "/traces/" + "1" * 32):
        assert words in page
    assert page.count("<details>") == 7
    assert "<script" not in page


def test_a_page_around_an_instant_leads_to_the_whole(client):
    page = client().get(f"/traces/{TRACE_ID}", params={"at": "2026-03-01T12:00:00Z"}).text
    assert "within a day of" in page
    assert f'href="/traces/{TRACE_ID}"' in page


@pytest.mark.parametrize(
    ("scene", "path", "status"),
    [
        ("full", "/traces/" + "9" * 32, 404),
        ("full", "/traces/xyz", 422),
        ("full", f"/traces/{TRACE_ID}?at=never", 422),
        ("failing", f"/traces/{TRACE_ID}", 503),
        ("failing", "/traces", 503),
    ],
)
def test_what_cannot_be_shown_is_a_page_that_says_so(client, scene, path, status):
    answer = client(scene).get(path)
    assert answer.status_code == status
    assert "<h1" in answer.text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"q": "{ .a = }"}, "character 8"),
        ({"q": '{ .a = "<b>" } |'}, "nothing may stand here"),
        ({"min_ms": "fast"}, "milliseconds"),
        ({"min_ms": "nan"}, "milliseconds"),
        ({"range": "9y"}, "Last"),
        ({"sort": "best"}, "Order"),
        ({"status": "bad"}, "Outcome"),
    ],
)
def test_a_form_that_makes_no_sense_comes_back_with_what_is_wrong(client, parameters, words):
    page = client().get("/traces", params=parameters).text
    problem = re.search(r'id="problem" role="alert">(.*?)</p>', page, re.DOTALL)
    assert problem is not None
    assert words in problem[1]
    assert "<b>" not in page
    assert "Nothing found" not in page


def test_a_form_becomes_a_search():
    form = TraceForm(q="{ .a = 1 }", status="error", min_ms="2.5", sort="slowest", range="6h")
    asked = search_of(form, AT, "churn")
    assert (asked.window.end, asked.window.span_s) == (AT, 6 * 3600)
    assert (asked.model, asked.status, asked.min_ms, asked.slowest) == ("churn", "error", 2.5, True)
    assert (asked.condition, asked.requests_only) == (traceql.parse("{ .a = 1 }"), False)
    assert search_of(TraceForm(), AT, None).requests_only
    with pytest.raises(Invalid):
        search_of(TraceForm(min_ms="-1"), AT, None)


def test_the_form_keeps_what_was_written(client):
    page = client().get("/traces", params={"q": '{ .a = "x" }', "model": "a&b", "sort": "slowest"}).text
    assert 'value="{ .a = &#34;x&#34; }"' in page
    assert 'value="a&amp;b"' in page
    assert '<option value="slowest" selected>' in page


def test_a_link_to_a_trace_carries_an_instant_and_the_span():
    at = START + timedelta(microseconds=5)
    assert trace_url("ab", at, "cd") == f"/traces/ab?at={quote(at.isoformat().replace('+00:00', 'Z'), safe='')}#span-cd"
    assert trace_url("ab") == "/traces/ab"
