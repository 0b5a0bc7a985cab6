"""What a run's answers held (tokens, goodput, recorded answers) -> the block of its page."""

from __future__ import annotations

from dataclasses import dataclass

from seamark.core.findings import Verdict
from seamark.core.load_answers import TokenSummary, TokenTimes
from seamark.web.page_words import milliseconds, percent, rate


@dataclass(frozen=True)
class TimesRow:
    """One kind of token time."""

    name: str
    p50: str | None
    p95: str | None
    p99: str | None
    most: str | None


@dataclass(frozen=True)
class AnswersView:
    """Figures by name, and the times of tokens where answers streamed."""

    figures: tuple[tuple[str, str], ...]
    times: tuple[TimesRow, ...]


def answers_view(verdict: Verdict) -> AnswersView | None:
    """Return the block; None where nothing is known of what the answers held."""
    figures: list[tuple[str, str]] = []
    if verdict.tokens is not None:
        figures += _tokens(verdict.tokens)
    if verdict.goodput is not None:
        good = verdict.goodput
        told = f"{rate(good.rps) or 'unknown'} requests/s, {percent(good.ratio) or 'unknown'} of those asked for"
        figures.append(("Goodput", f"{told}, within {', '.join(good.limits)}"))
    if verdict.answers is not None:
        check = verdict.answers
        share = percent(check.ratio)
        told = f"{check.mismatched:,} of {check.compared:,}" + (f" ({share})" if share else "")
        figures.append(("Answers other than recorded", told))
    times = _times(verdict.tokens) if verdict.tokens is not None else ()
    return AnswersView(tuple(figures), times) if figures else None


def _tokens(tokens: TokenSummary) -> list[tuple[str, str]]:
    by = f", counted by {tokens.counted_by}" if tokens.counted_by else ""
    return [
        ("Tokens", f"{tokens.tokens:,} in {tokens.requests:,} answers{by}"),
        ("Tokens per second", rate(tokens.tokens_per_s) or "unknown"),
    ]


def _times(tokens: TokenSummary) -> tuple[TimesRow, ...]:
    named: tuple[tuple[str, TokenTimes], ...] = (
        ("First token", tokens.first_token_ms),
        ("Per token after it", tokens.time_per_token_ms),
        ("Between tokens", tokens.inter_token_ms),
    )
    return tuple(TimesRow(name, *(milliseconds(v) for v in (t.p50, t.p95, t.p99, t.max))) for name, t in named)
