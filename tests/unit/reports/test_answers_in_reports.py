"""Tokens, goodput, recorded answers and server time in a run's Markdown and page, whatever the names in them hold."""

from __future__ import annotations

import re
from typing import Any

from test_run_reports import HOSTILE, report, verdict

from seamark.core.load_answers import AnswerCheck, Goodput, TokenSummary, TokenTimes
from seamark.core.load_traces import RunTraces, SlowRequest, SpanTime
from seamark.delivery import reports

NONE = TokenTimes(None, None, None, None)
TOKENS = TokenSummary(
    30, 180, 45.678, TokenTimes(60.25, 70.0, 80.0, 90.0), NONE, TokenTimes(20.0, 21.0, 22.0, 99.0), 150
)
ANSWERED: dict[str, Any] = {
    "tokens": TOKENS,
    "goodput": Goodput(("p99(latency_ms) < 300", "max(first_token_ms) < 70"), 24, 0.8, 6.0),
    "answers": AnswerCheck(30, 2),
}
TRACE = "00f067aa0ba902b7863b891f4c0abd4f"
TRACES = RunTraces(
    40,
    38,
    (
        SpanTime("api", "infer", 38, 1, 900.0, 800.0, 0.8, 20.0, 100.0),
        SpanTime(HOSTILE, HOSTILE, 1, 0, 5, 5, 0.2, 5, 5),
    ),
    3,
    (
        SlowRequest(7, TRACE, 1.5, 250.0, 240.0, None, 200.0, "api: POST"),
        SlowRequest(8, TRACE, 2.0, 230.0, None, HOSTILE, None, None),
    ),
)


def test_markdown_tells_what_the_answers_held() -> None:
    text = reports.markdown(report(verdict=verdict(**ANSWERED), traces=TRACES))
    assert "180 tokens in 30 answers, 45.7 tokens per second." in text
    assert "| first token | 60.2 ms | 70 ms | 80 ms | 90 ms |" in text
    assert "| per token after it | unknown |" in text
    assert "Goodput 6 requests per second (80 % of those asked for)" in text
    assert "2 of 30 answers were not the recorded ones (6.67 %)." in text
    assert "| api: infer | 38 | 80 % | 20 ms | 100 ms |" in text
    assert "Spans of 38 of 40 requests arrived." in text
    assert re.search(r"(?<!\\)<script|(?<!\\)\]\(http", text) is None


def test_the_page_tells_it_and_links_to_traces() -> None:
    page = reports.html(report(verdict=verdict(**ANSWERED), traces=TRACES, traces_url="http://s/traces/"))
    assert "45.7 tokens per second" in page and "2 of 30 answers were not the recorded ones" in page
    assert f'<a href="http://s/traces/{TRACE}">' in page
    assert page.count(TRACE) == 3, "a request without a server span is named, not linked"
    assert "3 more names with less time are left out" in page
    assert "<script" not in page


def test_a_run_without_tokens_or_spans_says_so_or_nothing() -> None:
    plain = reports.markdown(report())
    assert "token" not in plain and "Goodput" not in plain and "server time" not in plain
    page = reports.html(report(traces=RunTraces(40, 0, (), 0, TRACES.slowest)))
    assert (
        "No span of this run&#39;s 40 requests arrived" in page or "No span of this run's 40 requests arrived" in page
    )
    assert 'id="server-time"' not in reports.html(report(traces=RunTraces(0, 0)))
    assert 'id="answers"' not in page
