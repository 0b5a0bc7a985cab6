"""A run -> Markdown that fits a pull request's comment and a CI job's summary page.

A comment on GitHub takes 65,536 characters, a job's summary 1 MiB for all steps; this stays below COMMENT_BYTES_MAX by
leaving rows out, and says how many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seamark.core.baseline import BaselineFinding
from seamark.core.findings import Capacity, LatencySummary, RunStatus, ThresholdResult, Verdict
from seamark.core.load_traces import RunTraces
from seamark.delivery.reports import baseline, scaling
from seamark.delivery.reports.figures import (
    HEADLINES,
    capacity_sentence,
    encodable,
    held,
    measured,
    milliseconds,
    number,
    outcome,
    percent,
)
from seamark.delivery.reports.report import RunReport

COMMENT_BYTES_MAX = 60_000
ROWS_MAX = 50  # of one table
ERRORS_SHOWN = 5
NAMES_SHOWN = 5
CELL_CHARACTERS_MAX = 300

_MARKS = {RunStatus.PASSED: "✅", RunStatus.FAILED: "❌"}
_OUTCOMES = {True: "✅", False: "❌", None: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&$!])")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")
# Words that readers turn into links or mentions by themselves: @name, www., a scheme, GH-1.
_LINKED = re.compile(r"(?i)(@|\bwww(?=\.)|:(?=//)|\bGH(?=-\d))")


def markdown(report: RunReport) -> str:
    """Return verdict, thresholds, latency corrected and uncorrected, errors by kind, and the capacity if sought.

    No name or reason of the run becomes markup, a link or a mention.
    """
    mark = _MARKS.get(report.status, "⚠️")
    parts = [
        f"## {mark} Load test {_text(report.plan)}: {HEADLINES[report.status].lower()}",
        _text(report.reason) or "No reason was recorded.",
        _thresholds(report.thresholds),
    ]
    if report.verdict is not None:
        parts += [_traffic(report.verdict), _latencies(report.verdict), _answers(report.verdict)]
        if report.verdict.capacity is not None:
            parts.append(_capacity(report.verdict.capacity))
        if report.verdict.baseline is not None:
            parts.append(_baseline(report.verdict.baseline))
        parts.append("\n".join(f"* {_text(note)}" for note in report.verdict.notes))
    if report.traces is not None and report.traces.names:
        parts.append(_server_time(report.traces))
    parts += [_errors(report), _ending(report)]
    return _cut(encodable("\n\n".join(part for part in parts if part) + "\n"), report)


def _ending(report: RunReport) -> str:
    run = f"Run `{report.run_id}`" if report.run_id.isalnum() else f"Run {_text(report.run_id)}"
    if report.url and report.run_id.isalnum() and not re.search(r"[\s()<>]", report.url):
        run = f"Run [`{report.run_id}`]({report.url})"
    took = f", {number(report.duration_s)} s" if report.duration_s is not None else ""
    started = f", started {report.started_at:%Y-%m-%d %H:%M:%S} UTC" if report.started_at else ""
    return f"{run}{started}{took}."


def _thresholds(thresholds: Sequence[ThresholdResult]) -> str:
    rows = [(t.text, measured(t), f"{_OUTCOMES[t.passed]} {outcome(t)}") for t in thresholds]
    return _table(("Threshold", "Measured", "Outcome"), rows) if rows else ""


def _traffic(verdict: Verdict) -> str:
    saturated = " The load generator was saturated." if verdict.generator_saturated else ""
    asked = "" if verdict.asked_rate is None else f", asked {number(verdict.asked_rate)} per second"
    achieved = "" if verdict.achieved_rate is None else f", achieved {number(verdict.achieved_rate)}"
    return f"{verdict.requests} requests, {verdict.errors} errors{asked}{achieved}.{saturated}"


def _latencies(verdict: Verdict) -> str:
    def row(name: str, latency: LatencySummary) -> tuple[str, ...]:
        return (name, *(milliseconds(value) for value in (latency.p50, latency.p95, latency.p99, latency.max)))

    rows = [
        row("from the due instant (corrected)", verdict.latency_ms),
        row("from the send (uncorrected)", verdict.service_latency_ms),
        row("send lateness", verdict.lateness_ms),
    ]
    return _table(("Latency", "p50", "p95", "p99", "max"), rows)


def _answers(verdict: Verdict) -> str:
    """What is known of tokens, goodput and recorded answers: a table and a sentence each, or nothing."""
    parts = []
    if verdict.tokens is not None:
        tokens = verdict.tokens
        times = (
            ("first token", tokens.first_token_ms),
            ("per token after it", tokens.time_per_token_ms),
            ("between tokens", tokens.inter_token_ms),
        )
        rows = [(name, *(milliseconds(value) for value in (t.p50, t.p95, t.p99, t.max))) for name, t in times]
        by = f" (counted by {tokens.counted_by})" if tokens.counted_by else ""
        told = (
            f"{tokens.tokens} tokens in {tokens.requests} answers{by}, {number(tokens.tokens_per_s)} tokens per second."
        )
        parts += [told, _table(("Tokens", "p50", "p95", "p99", "max"), rows)]
    if verdict.goodput is not None:
        good = verdict.goodput
        told = f"Goodput {number(good.rps)} requests per second ({percent(good.ratio)} of those asked for)"
        parts.append(f"{told}, within {_text(', '.join(good.limits))}.")
    if verdict.answers is not None:
        check = verdict.answers
        told = f"{check.mismatched} of {check.compared} answers were not the recorded ones"
        parts.append(f"{told} ({percent(check.ratio)}).")
    return "\n\n".join(parts)


def _server_time(traces: RunTraces) -> str:
    rows = [
        (f"{span.service}: {span.name}", str(span.spans), percent(span.share), milliseconds(span.p50_ms),
         milliseconds(span.p99_ms))
        for span in traces.names[:NAMES_SHOWN]
    ]  # fmt: skip
    heads = ("Where server time went", "Spans", "Share", "p50", "p99")
    return f"{_table(heads, rows)}\n\nSpans of {traces.linked} of {traces.requests} requests arrived."


def _capacity(capacity: Capacity) -> str:
    rows = [
        (
            number(step.asked_rps),
            number(step.achieved_rps),
            str(step.requests),
            percent(step.error_ratio),
            milliseconds(step.latency.p99),
            held(step.held),
            step.reason,
        )
        for step in capacity.steps
    ]
    heads = ("Asked per s", "Achieved per s", "Requests", "Errors", "p99", "Held", "Why")
    steps = f"<details><summary>{len(rows)} steps</summary>\n\n{_table(heads, rows)}\n\n</details>"
    told = "\n".join(f"* {_text(one)}" for one in scaling.sentences(capacity.scaling)) if capacity.scaling else ""
    return "\n\n".join(part for part in (f"**Capacity**: {_text(capacity_sentence(capacity))}.", told, steps) if part)


def _errors(report: RunReport) -> str:
    shown = report.errors[:ERRORS_SHOWN]
    if not shown:
        return ""
    rows = [(kind.error, str(kind.count)) for kind in shown]
    more = report.error_kinds - len(shown)
    return _table(("Error", "Requests"), rows) + (f"\n\n{more} rarer kinds are not shown." if more > 0 else "")


def _baseline(finding: BaselineFinding) -> str:
    told = f"**Beside earlier runs**: {_text(finding.reason)}."
    return f"{told}\n\n{_table(baseline.HEADS, baseline.rows(finding))}" if finding.compared else told


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    every = list(rows)
    lines = [heads, ["---"] * len(heads), *([_text(cell) for cell in row] for row in every[:ROWS_MAX])]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return table + (f"\n\n{len(every) - ROWS_MAX} more rows are not shown." if len(every) > ROWS_MAX else "")


def _text(text: str) -> str:
    """Text that stays text: no markup, no link, no mention, no HTML, no line break that would end a table."""
    flat = _BLANK.sub(" ", text).strip()
    flat = flat if len(flat) <= CELL_CHARACTERS_MAX else flat[: CELL_CHARACTERS_MAX - 1] + "…"
    return _LINKED.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", flat))


def _cut(text: str, report: RunReport) -> str:
    """The whole text, or its first parts and the end: cut between parts, so that no table and no fold is torn."""
    if len(text.encode()) <= COMMENT_BYTES_MAX:
        return text
    ending = f"Too long for a comment: the rest is left out.\n\n{_ending(report)}\n"
    room = COMMENT_BYTES_MAX - len(ending.encode()) - 2
    kept = ""
    for part in text.split("\n\n"):
        if part.startswith("<details>"):  # what it holds would be torn
            break
        if len(kept.encode()) + len(part.encode()) + 2 > room:
            break
        kept += part + "\n\n"
    return encodable(kept + ending)
