"""How late spans come -> how much of each recent step's traffic is known by now, and the traffic made whole.

A span is sent when its request has ended, and by most SDKs some seconds later, in a batch: of the requests that began
just now few are known. F(a) is the share of spans that are no later than a. A step of age a shows F(a) of its requests
on average, so its count is divided by F(a); where F(a) is less than SHARE_LEAST, what is seen says too little, and
the step is left out.

What is added makes no step higher than the busiest of the last minutes that are whole: lateness that has
just ended is still seen for a while in the spans that came, and would double traffic that is all here. A rise beyond
that level is told as far as it has been seen.

No stretch of arrivals weighs more than the middle one: what a sender had kept during an outage and sends at
once must not make all spans look late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seamark.core.traffic import BLOCK_S, FloatArray, Lags

SHARE_LEAST = 0.5
BLOCKS_MIN = 5  # stretches in which spans arrived; with fewer nothing is known of lateness
SPANS_MIN = 30
LAG_MOST_S = 900
NOW_S = 60  # where as many spans as are needed came so lately, they alone are looked at: lateness begins and ends
WHOLE = 0.95  # a step of which so much is here is taken for whole
MINUTE = 6  # steps
LEVEL_STEPS = 18  # whole ones, whose busiest minute is the level that nothing is added beyond
LEFT_OUT_MOST_S = 300.0  # traffic older than this is no traffic of now


@dataclass(frozen=True)
class Completeness:
    """F at whole seconds: `shares[k]` is the share of spans that come less than k seconds after their request began."""

    shares: FloatArray

    def of_steps(self, count: int, step_s: float, newest_age_s: float) -> FloatArray:
        """Return the share that is known of each of `count` steps, oldest first; the newest ended `newest_age_s` ago.

        Of a step it is the mean over the step's own ages.
        """
        sums = np.concatenate(([0.0], np.cumsum((self.shares[1:] + self.shares[:-1]) / 2)))
        seconds = np.arange(len(sums), dtype=np.float64)
        ends = newest_age_s + step_s * np.arange(count, -1, -1)
        most = seconds[-1]
        # Beyond the last second all is known: the integral goes on with slope 1.
        integral = np.interp(ends, seconds, sums) + np.maximum(ends - most, 0.0)
        shares: FloatArray = np.clip((integral[:-1] - integral[1:]) / step_s, 0.0, 1.0)
        return shares

    def within_s(self, share: float) -> float:
        """Return the lateness that `share` of the spans stay within, in whole seconds."""
        return float(np.searchsorted(self.shares, share))


def completeness(lags: Lags) -> Completeness | None:
    """Return F of what came lately; None where too few spans in too few stretches came to say."""
    if len(lags.blocks) == 0:
        return None
    newest = lags.blocks > lags.blocks.max() - NOW_S // BLOCK_S
    shares = _shares(Lags(lags.blocks[newest], lags.lags_s[newest], lags.counts[newest]))
    shares = _shares(lags) if shares is None else shares
    return None if shares is None else Completeness(shares)


def _shares(lags: Lags) -> FloatArray | None:
    blocks, places = np.unique(lags.blocks, return_inverse=True)
    if len(blocks) < BLOCKS_MIN or lags.counts.sum() < SPANS_MIN:
        return None
    totals = np.bincount(places, weights=lags.counts)
    weights = np.minimum(1.0, float(np.median(totals)) / totals)[places] * lags.counts
    late = np.clip(lags.lags_s, 0, LAG_MOST_S)
    tallies = np.bincount(late, weights=weights, minlength=LAG_MOST_S + 1)
    shares: FloatArray = np.concatenate(([0.0], np.cumsum(tallies) / tallies.sum()))
    return shares


def made_whole(rates: FloatArray, shares: FloatArray, step_s: float) -> tuple[FloatArray, int]:
    """Return (rates divided by what is known of them, without the newest that show too little; how many those are).

    No more than LEFT_OUT_MOST_S are left out; of steps older than that what is seen is divided by SHARE_LEAST at most.
    """
    known = shares >= SHARE_LEAST
    left_out = min(int(len(rates) - known.nonzero()[0][-1] - 1) if known.any() else len(rates), len(rates))
    left_out = min(left_out, int(LEFT_OUT_MOST_S / step_s))
    kept = len(rates) - left_out
    seen, shares = rates[:kept], shares[:kept]
    made = seen / np.maximum(shares, SHARE_LEAST)
    young = shares < WHOLE
    level = _level(seen[~young])
    if level is not None:
        made[young] = np.minimum(made[young], np.maximum(seen[young], level))
    return made, left_out


def _level(whole: FloatArray) -> float | None:
    """Return the busiest minute of the last whole steps; None where there is none."""
    lately = whole[-LEVEL_STEPS:]
    if len(lately) < MINUTE or not lately.any():
        return None
    return float(np.convolve(lately, np.full(MINUTE, 1 / MINUTE), mode="valid").max())
