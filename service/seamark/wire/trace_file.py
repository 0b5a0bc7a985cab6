"""A trace file - rates in even steps, or the instant of each request - becomes the traffic of a backtest."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from seamark.core.backtest import Instants, Trace
from seamark.core.errors import Invalid
from seamark.wire.values import shown

FILE_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 2_000_000
STEP_S_LEAST, STEP_S_MOST = 1.0, 3600.0
DURATION_S_LEAST, DURATION_S_MOST = 300.0, 100 * 86_400.0
INSTANTS_S_MOST = 86_400.0  # each request is played by itself
RATE_MAX = 1e7
HOLE_S_MOST = 3600.0  # one hole that is bridged
HOLES_SHARE_MOST = 0.1  # of the trace, all holes together
UNEVEN = 0.01  # of a step, by which a row may be early or late

_COLUMNS = ("t_s", "rate_per_s", "dispersion")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[.,](\d{1,12}))?(Z|[+-]\d\d:?\d\d)?")


def read_trace_file(body: bytes) -> Trace | Instants:
    """Return the traffic of a CSV file: columns `t_s,rate_per_s[,dispersion]`, or TIMESTAMP first.

    Holes up to an hour, and a tenth of the trace in all, are bridged in a straight line and told in `bridged`. All else
    that is not traffic in order is Invalid, with the line.
    """
    if len(body) > FILE_BYTES_MAX:
        raise Invalid(
            f"the trace file has more than {FILE_BYTES_MAX // 1024 // 1024} MiB; send a shorter or coarser one"
        )
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        heads = [head.strip() for head in next(reader, [])]
        if heads and heads[0] == "TIMESTAMP":
            return _instants(_cells(reader, len(heads)))
        if len(heads) not in (2, 3) or tuple(heads) != _COLUMNS[: len(heads)]:
            told = "t_s,rate_per_s, t_s,rate_per_s,dispersion, or TIMESTAMP first"
            raise Invalid(f"line 1: the columns are {shown(','.join(heads))}, and should be {told}")
        return _trace(_cells(reader, len(heads)), has_dispersion=len(heads) == 3)
    except (UnicodeError, csv.Error) as error:
        raise Invalid(f"the trace file cannot be read as CSV: {str(error)[:200]}") from None


def _cells(reader: Iterator[list[str]], count: int) -> Iterator[tuple[int, list[str]]]:
    rows = 0
    for line, cells in enumerate(reader, 2):
        if not cells:
            continue
        if len(cells) != count:
            raise Invalid(f"line {line}: {len(cells)} cells under {count} column names")
        rows += 1
        if rows > ROWS_MAX:
            raise Invalid(f"line {line}: more than {ROWS_MAX:,} rows; send a shorter or coarser trace")
        yield line, cells


def _trace(rows: Iterator[tuple[int, list[str]]], *, has_dispersion: bool) -> Trace:
    lines: list[int] = []
    times: list[float] = []
    rates: list[float] = []
    dispersions: list[float] = []
    for line, cells in rows:
        at_s = _number(cells[0], line, "t_s", 1e12)
        if times and at_s <= times[-1]:
            raise Invalid(f"line {line}: t_s is {at_s:g} after {times[-1]:g}; times must rise, one row each")
        times.append(at_s)
        lines.append(line)
        rates.append(_number(cells[1], line, "rate_per_s", RATE_MAX) if cells[1].strip() else math.nan)
        known = has_dispersion and cells[2].strip() != ""
        dispersions.append(_number(cells[2], line, "dispersion", 1e6) if known else math.nan)
    if len(times) < 2:
        raise Invalid(f"the trace has {len(times)} rows; a backtest needs {DURATION_S_LEAST:g} s of traffic")
    step_s, places = _even(times, lines)
    _check_length(step_s * (places[-1] + 1))
    spread, spread_dispersion = np.full(places[-1] + 1, math.nan), np.full(places[-1] + 1, math.nan)
    spread[places], spread_dispersion[places] = rates, dispersions
    line_of = dict(zip(places, lines, strict=True))
    bridged = _bridge(spread, step_s, line_of)
    if not spread.any():
        raise Invalid("the trace has no traffic: every rate is 0")
    dispersion = None
    if has_dispersion and np.isfinite(spread_dispersion).any():
        missing = np.isnan(spread_dispersion)
        spread_dispersion[missing] = np.nanmedian(spread_dispersion)
        dispersion = spread_dispersion
    silent = int(np.count_nonzero(spread == 0))
    if silent:
        bridged.append(f"{silent} steps have a rate of 0 and are played as silence.")
    return Trace(step_s, spread, dispersion, tuple(bridged))


def _even(times: Sequence[float], lines: Sequence[int]) -> tuple[float, list[int]]:
    """Return (step, the place of each row in even steps); the step is the median distance."""
    gaps = np.diff(times)
    step_s = float(np.median(gaps))
    if not STEP_S_LEAST <= step_s <= STEP_S_MOST:
        hint = "average it to 1 s, or give instants (TIMESTAMP)" if step_s < STEP_S_LEAST else "give finer steps"
        raise Invalid(f"steps are {step_s:g} s; {STEP_S_LEAST:g} to {STEP_S_MOST:g} s can be played: {hint}")
    exact = (np.asarray(times) - times[0]) / step_s
    if exact[-1] * step_s > DURATION_S_MOST:
        raise Invalid(f"the trace spans {exact[-1] * step_s / 86_400:,.0f} days; {DURATION_S_MOST / 86_400:g} at most")
    places = np.round(exact).astype(np.int64)
    wrong = np.flatnonzero((np.abs(exact - places) > UNEVEN) | (np.diff(places, prepend=-1) < 1))
    if len(wrong):
        place = int(wrong[0])
        raise Invalid(f"line {lines[place]}: t_s {times[place]:g} is not on the grid of {step_s:g} s from {times[0]:g}")
    return step_s, places.tolist()


def _bridge(rates: np.ndarray[tuple[int], np.dtype[np.float64]], step_s: float, line_of: dict[int, int]) -> list[str]:
    """Fill the holes of `rates` in a straight line; return the sentences that tell of it."""
    missing = np.isnan(rates)
    if not missing.any():
        return []
    known = np.flatnonzero(~missing)
    if len(known) == 0 or missing[0] or missing[-1]:
        raise Invalid("the trace begins or ends with a row without a rate; leave those rows out")
    edges = np.flatnonzero(np.diff(known) > 1)
    longest = max(edges.tolist(), key=lambda edge: int(known[edge + 1] - known[edge]))
    hole_s = float(known[longest + 1] - known[longest] - 1) * step_s
    line = line_of[int(known[longest + 1])]
    if hole_s > HOLE_S_MOST:
        raise Invalid(f"line {line}: {hole_s:g} s are missing before it; {HOLE_S_MOST:g} s can be bridged")
    share = float(missing.mean())
    if share > HOLES_SHARE_MOST:
        raise Invalid(f"{share:.0%} of the trace is missing; {HOLES_SHARE_MOST:.0%} can be bridged")
    rates[missing] = np.interp(np.flatnonzero(missing), known, rates[known])
    count = int(missing.sum())
    told = f"{len(edges)} {'hole' if len(edges) == 1 else 'holes'} ({count} steps)"
    return [f"{told} bridged in a straight line, the longest of {hole_s:g} s before line {line}."]


def _instants(rows: Iterator[tuple[int, list[str]]]) -> Instants:
    found: list[float] = []
    for line, cells in rows:
        at_s = _instant(cells[0].strip(), line)
        if found and at_s < found[-1]:
            raise Invalid(f"line {line}: {shown(cells[0])} is earlier than the line before; instants must not fall")
        found.append(at_s)
        if at_s - found[0] > INSTANTS_S_MOST:
            raise Invalid(f"line {line}: more than {INSTANTS_S_MOST / 3600:g} h of instants; give rates instead")
    if not found:
        raise Invalid("the trace has no requests")
    at = np.asarray(found) - found[0]
    _check_length(float(at[-1]))
    return Instants(at)


def _instant(text: str, line: int) -> float:
    match = _INSTANT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        zone = (match[3] or "Z").replace("Z", "+00:00")
        whole = datetime.fromisoformat(match[1] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"line {line}: {shown(text)} is no instant; write 2023-11-16 18:15:46.68") from None
    return whole.timestamp() + float(f"0.{match[2] or 0}")


def _number(text: str, line: int, name: str, most: float) -> float:
    """Return a finite number from 0 to `most`."""
    text = text.strip()
    value = float(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= most:
        raise Invalid(f"line {line}: {name} is {shown(text)} and should be a number from 0 to {most:g}")
    return value


def _check_length(duration_s: float) -> None:
    if duration_s < DURATION_S_LEAST:
        raise Invalid(f"the trace spans {duration_s:g} s; a backtest needs {DURATION_S_LEAST:g} s at least")
    if duration_s > DURATION_S_MOST:
        raise Invalid(f"the trace spans {duration_s / 86_400:,.0f} days; {DURATION_S_MOST / 86_400:g} at most")
