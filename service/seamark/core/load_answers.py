"""What a load test's answers held beyond their latency: tokens, goodput, and whether they were the recorded ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenTimes:
    """Quantiles in milliseconds; None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True)
class TokenSummary:
    """Tokens that came, over the requests that succeeded.

    `first_token_ms` counts from the send; `time_per_token_ms` is per request the mean time of a token after the first;
    `inter_token_ms` is over all gaps between tokens of all streams, also those that broke, to three digits.
    `tokens_per_s` is over the time from the run's first instant to its last answer. `counted_by`:
    usage (the endpoint said how many), chunks (each chunk of text counted as one), or both.
    """

    requests: int
    tokens: int
    tokens_per_s: float | None
    first_token_ms: TokenTimes
    time_per_token_ms: TokenTimes
    inter_token_ms: TokenTimes
    gaps: int
    counted_by: str | None = None


@dataclass(frozen=True)
class Goodput:
    """Requests that succeeded within every limit of `limits`, of all that were asked for, and per second."""

    limits: tuple[str, ...]
    requests: int
    ratio: float
    rps: float


@dataclass(frozen=True)
class AnswerCheck:
    """Answers that were held against recorded ones, and how many of them were others."""

    compared: int
    mismatched: int

    @property
    def ratio(self) -> float | None:
        """None where nothing was compared."""
        return self.mismatched / self.compared if self.compared else None
