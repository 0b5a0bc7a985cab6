"""The small language of limits: `p95(latency_ms) < 250`, `error_ratio > 0.5 for 10s`.

    threshold := measure ("<" | "<=" | ">" | ">=") number [ "for" duration ]
    measure   := "p" percent "(" metric ")" | ("max" | "mean") "(" metric ")" | metric
    metric    := latency_ms | service_latency_ms | lateness_ms           (distributions: an aggregate is needed)
               | first_token_ms | time_per_token_ms | inter_token_ms     (of answers that stream tokens)
               | error_ratio | achieved_rate | requests | rate_rps       (single numbers)
               | tokens_per_s | goodput_rps | goodput_ratio | answer_mismatch_ratio

`latency_ms` counts from the instant a request was due, `service_latency_ms` from the instant it was sent.
`achieved_rate` is the ratio of requests sent on plan to requests asked for. `for` is allowed in abort conditions.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from seamark.core.windows import format_duration, parse_duration

OF_TOKENS_BY_REQUEST = ("first_token_ms", "time_per_token_ms")
OF_TOKENS = (*OF_TOKENS_BY_REQUEST, "inter_token_ms")
OF_WHOLE_RUNS = ("tokens_per_s", "goodput_rps", "goodput_ratio", "answer_mismatch_ratio")
OF_ANSWERS = OF_TOKENS + OF_WHOLE_RUNS  # what is read of answers, beyond when they came
DISTRIBUTIONS = ("latency_ms", "service_latency_ms", "lateness_ms", *OF_TOKENS)
NUMBERS = ("error_ratio", "achieved_rate", "requests", "rate_rps", *OF_WHOLE_RUNS)

SHARES = ("error_ratio", "achieved_rate", "goodput_ratio", "answer_mismatch_ratio")
MORE_IS_BETTER = ("achieved_rate", "rate_rps", "tokens_per_s", "goodput_rps", "goodput_ratio")

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHAPE = re.compile(
    r"\s*(?:(?P<aggregate>p\d{1,2}(?:\.\d+)?|max|mean)\s*\(\s*(?P<of>\w+)\s*\)|(?P<metric>\w+))"
    r"\s*(?P<operator><=|>=|<|>)\s*(?P<limit>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"(?:\s+for\s+(?P<hold>\S+))?\s*"
)


@dataclass(frozen=True)
class Threshold:
    """One limit. `aggregate` is `p95`, `max`, `mean` or None; `hold_s` is how long it must be so."""

    metric: str
    aggregate: str | None
    operator: str
    limit: float
    hold_s: float = 0.0

    @property
    def quantile(self) -> float | None:
        """0.95 for `p95`; None for anything that is no percentile."""
        if self.aggregate and self.aggregate.startswith("p"):
            return float(self.aggregate[1:]) / 100
        return None

    @property
    def measure(self) -> str:
        """The left-hand side as written: `p95(latency_ms)`."""
        return f"{self.aggregate}({self.metric})" if self.aggregate else self.metric

    def holds(self, actual: float) -> bool:
        """Whether `actual` meets the limit. An unknown value must not be asked about: it is no number."""
        return _OPERATORS[self.operator](actual, self.limit)

    def __str__(self) -> str:
        tail = f" for {format_duration(self.hold_s)}" if self.hold_s else ""
        return f"{self.measure} {self.operator} {self.limit:.12g}{tail}"


def parse_threshold(text: str, *, with_hold: bool = False) -> Threshold:
    """Return the threshold written in `text`; ValueError says what is wrong and what would be right.

    >>> str(parse_threshold("p99.9( latency_ms )<=250"))
    'p99.9(latency_ms) <= 250'
    >>> parse_threshold("error_ratio > 0.5 for 10s", with_hold=True).hold_s
    10.0
    >>> parse_threshold("latency_ms < 250")
    Traceback (most recent call last):
    ValueError: latency_ms is a distribution; say which part of it, like p95(latency_ms)
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a threshold; write one like p95(latency_ms) < 250 or error_ratio < 0.01")
    metric = match["of"] or match["metric"]
    if metric not in DISTRIBUTIONS + NUMBERS:
        known = ", ".join(sorted(DISTRIBUTIONS + NUMBERS))
        raise ValueError(f"{metric!r} is not a metric of a load test; known are {known}")
    if metric in DISTRIBUTIONS and match["of"] is None:
        raise ValueError(f"{metric} is a distribution; say which part of it, like p95({metric})")
    if metric in NUMBERS and match["of"] is not None:
        raise ValueError(f"{metric} is a single number; write it without {match['aggregate']}( )")
    if match["aggregate"] and match["aggregate"].startswith("p") and not 0 < float(match["aggregate"][1:]) < 100:
        raise ValueError(f"{match['aggregate']} is no percentile; write one between p0 and p100, like p95")
    if match["hold"] and not with_hold:
        raise ValueError("'for' belongs to abort conditions; a threshold is judged once, at the end of the run")
    _check_sense(metric, match["operator"], float(match["limit"]), abort=with_hold)
    hold_s = parse_duration(match["hold"]) if match["hold"] else 0.0
    return Threshold(metric, match["aggregate"], match["operator"], float(match["limit"]), hold_s)


def _check_sense(metric: str, sign: str, limit: float, *, abort: bool) -> None:
    """A limit that a share cannot reach, or that asks for what nobody wants, is a mistake and not a threshold."""
    if metric in SHARES and not 0 <= limit <= 1:
        raise ValueError(f"{metric} is a share from 0 to 1; write {metric} {sign} 0.05 for 5 %")
    if metric == "requests":
        return
    wanted = ">" if (metric in MORE_IS_BETTER) != abort else "<"
    if not sign.startswith(wanted):
        what = "an abort condition says what is too bad" if abort else "a threshold says what is good enough"
        raise ValueError(f"{what}: of {metric} write {wanted} or {wanted}=, not {sign}")
