"""A verdict's tokens, goodput and recorded answers -> what the answers themselves were like."""

from __future__ import annotations

from markupsafe import Markup

from seamark.core.findings import Verdict
from seamark.core.load_answers import TokenSummary
from seamark.delivery.reports import figures
from seamark.delivery.reports.report import RunReport
from seamark.delivery.reports.section import Section, paragraph, table

NAMES = ("p50", "p95", "p99", "max")


def section(report: RunReport) -> Section | None:
    """None where nothing of the answers was looked at."""
    verdict = report.verdict
    if verdict is None or not (verdict.tokens or verdict.goodput or verdict.answers):
        return None
    body = _tokens(verdict.tokens) if verdict.tokens else Markup("")
    return Section("answers", "Answers", body + _sentences(verdict))


def _tokens(tokens: TokenSummary) -> Markup:
    rate = "" if tokens.tokens_per_s is None else f", {figures.number(tokens.tokens_per_s)} tokens per second"
    by = f", counted by {tokens.counted_by}" if tokens.counted_by else ""
    told = (
        f"{tokens.tokens:,} tokens in {tokens.requests:,} answers{rate}{by}. The first token counts from the send; "
        f"between tokens are {tokens.gaps:,} gaps of all streams."
    )
    rows = [
        (name, *(figures.milliseconds(getattr(times, quantile)) for quantile in NAMES))
        for name, times in (
            ("first token", tokens.first_token_ms),
            ("per token after it", tokens.time_per_token_ms),
            ("between tokens", tokens.inter_token_ms),
        )
    ]
    right = frozenset(range(1, len(NAMES) + 1))
    return paragraph(told, "quiet") + table("Tokens", ("Tokens", *NAMES), rows, right=right)


def _sentences(verdict: Verdict) -> Markup:
    body = Markup("")
    if verdict.goodput is not None:
        good = verdict.goodput
        body += paragraph(
            f"Goodput: {figures.number(good.rps)} requests per second ({figures.percent(good.ratio)} of those asked "
            f"for) were answered within {', '.join(good.limits)}."
        )
    if verdict.answers is not None:
        check = verdict.answers
        told = f"{check.mismatched} of {check.compared} answers were not the recorded ones"
        body += paragraph(f"{told} ({figures.percent(check.ratio)}).")
    return body
