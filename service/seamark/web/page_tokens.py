"""Tokens of the last hour -> the rows of the model page's table."""

from __future__ import annotations

from dataclasses import dataclass

from seamark.core.measures import TokenStep
from seamark.web.page_words import milliseconds, rate


@dataclass(frozen=True)
class TokenRow:
    """What was asked of one generative model; None reads as unknown."""

    model: str
    spans: str
    taken: str | None
    taken_rate: str | None
    given: str | None
    given_rate: str | None
    p50: str | None
    p95: str | None
    p99: str | None


def token_row(step: TokenStep) -> TokenRow:
    """Return the row of one generative model."""
    return TokenRow(
        model=step.by.get("gen_ai_model", "") or "not named",
        spans=f"{step.requests:,}",
        taken=None if step.input_tokens is None else f"{step.input_tokens:,}",
        taken_rate=rate(step.input_tokens_per_s),
        given=None if step.output_tokens is None else f"{step.output_tokens:,}",
        given_rate=rate(step.output_tokens_per_s),
        p50=milliseconds(step.first_token_p50_ms),
        p95=milliseconds(step.first_token_p95_ms),
        p99=milliseconds(step.first_token_p99_ms),
    )
