"""Trace files: even steps and instants are read, holes are bridged and told, all else is refused with its line."""

from __future__ import annotations

import numpy as np
import pytest

from seamark.core.backtest import Instants, Trace
from seamark.core.errors import Invalid
from seamark.wire.trace_file import read_trace_file


def rows(*cells: str, head: str = "t_s,rate_per_s") -> bytes:
    return "\n".join([head, *cells, ""]).encode()


def even(count: int, step_s: int = 60, **other: str) -> list[str]:
    """Rows of rising rates; `r3="..."` writes another row in place of the third."""
    return [other.get(f"r{i}", f"{i * step_s},{10 + i}") for i in range(count)]


def test_rates_and_dispersion_are_read() -> None:
    body = rows("0,10,1.5", "600,20,", "1200,3e1,4", head="t_s,rate_per_s,dispersion")
    found = read_trace_file(b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n"))
    assert isinstance(found, Trace)
    assert (found.step_s, found.rates.tolist(), found.bridged) == (600.0, [10, 20, 30], ())
    assert found.dispersion is not None and found.dispersion.tolist() == [1.5, 2.75, 4]


def test_a_trace_need_not_begin_at_zero() -> None:
    found = read_trace_file(rows(*(f"{1_700_000_000 + 60 * i},5" for i in range(10))))
    assert found.duration_s == 600


@pytest.mark.parametrize("third", ["120,", "120, ", None])
def test_a_hole_is_bridged_and_told(third: str | None) -> None:
    lines = even(10, r2=third or "gone")
    found = read_trace_file(rows(*(line for line in lines if line != "gone")))
    assert found.rates.tolist() == list(range(10, 20))
    assert "1 hole (1 steps) bridged in a straight line, the longest of 60 s" in found.bridged[0]


def test_silence_is_told() -> None:
    found = read_trace_file(rows(*even(10, r2="120,0")))
    assert found.bridged == ("1 steps have a rate of 0 and are played as silence.",)


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "line 1"),
        (b"\n", "line 1"),
        (rows(), "0 rows"),
        (rows("0,1"), "1 rows"),
        (rows("0,1", "60,2"), "needs 300 s"),
        (rows(*even(10), head="t,rate"), "line 1"),
        (rows(*even(10), head="t_s,rate_per_s,cost"), "line 1"),
        (rows(*even(10, r4="240,1,2")), "line 6: 3 cells"),
        (rows(*even(10, r4="180,1")), "line 6: t_s is 180 after 180"),
        (rows(*even(10, r4="0,1")), "line 6: t_s is 0 after 180"),
        (rows(*even(10, r4="250,1")), "line 6: t_s 250 is not on the grid of 60 s"),
        (rows(*even(10, r4="240,-1")), "line 6: rate_per_s is '-1'"),
        (rows(*even(10, r4="240,nan")), "line 6: rate_per_s is 'nan'"),
        (rows(*even(10, r4="240,inf")), "line 6"),
        (rows(*even(10, r4="240,1e300")), "line 6"),
        (rows(*even(10, r4="240," + "9" * 5000)), "line 6"),
        (rows(*even(10, r4="240,0x10")), "line 6"),
        (rows(*even(10, r4="240,1_0")), "line 6"),
        (rows(*even(10, r4="x,1")), "line 6: t_s is 'x'"),
        (rows(*even(10, r0="0,")), "begins or ends with a row without a rate"),
        (rows(*even(100), *(f"{6000 + 3720 + i * 60},1" for i in range(100))), "3720 s are missing before it"),
        (rows(*(f"{i * 60 + (120 if i > 5 else 0)},1" for i in range(10))), "17% of the trace is missing"),
        (rows(*(f"{i},1" for i in np.arange(0, 400, 0.5))), "average it to 1 s"),
        (rows(*(f"{i * 7200},1" for i in range(10))), "give finer steps"),
        (rows(*(f"{i * 3600},1" for i in range(2402))), "100 at most"),
        (rows("0,1", "60,1", "120,1", "1e12,1"), "100 at most"),
        (rows(*(f"{i * 60},0" for i in range(10))), "no traffic"),
        (b't_s,rate_per_s\n0,"1', "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (rows(*even(10, r4="240\x00,1")), "line 6"),
    ],
)
def test_what_is_no_traffic_is_refused_with_its_line(body: bytes, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_trace_file(body)
    assert words in str(caught.value) and len(str(caught.value)) < 300


def stamps(*texts: str) -> bytes:
    return rows(*(f"{text},374,44" for text in texts), head="TIMESTAMP,ContextTokens,GeneratedTokens")


def test_instants_are_read_in_seconds_from_the_first() -> None:
    found = read_trace_file(
        stamps(
            "2023-11-16 18:15:46.6805900", "2023-11-16 18:15:50", "2023-11-16T19:25:50.5+01:00", "2023-11-16 18:30:00Z"
        )
    )
    assert isinstance(found, Instants)
    assert found.at_s == pytest.approx([0, 3.31941, 603.81941, 853.31941])


@pytest.mark.parametrize(
    "body, words",
    [
        (stamps(), "no requests"),
        (stamps("2023-11-16 18:15:46"), "needs 300 s"),
        (stamps("2023-11-16 18:15:46", "2023-11-16 18:15:45"), "line 3"),
        (stamps("2023-11-16 18:15:46", "2023-11-18 18:15:46"), "line 3: more than 24 h"),
        (stamps("yesterday"), "line 2: 'yesterday' is no instant"),
        (stamps("2023-02-31 18:15:46"), "line 2"),
        (stamps("0001-01-01 00:00:00+23:59"), "line 2"),
    ],
)
def test_instants_out_of_order_are_refused(body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_trace_file(body)
