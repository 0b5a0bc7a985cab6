"""Logged halves of inferences to rows of the lake, and from them those whose other half has come too.

A half is waiting while there is no row `joined` of its key. That row is appended together with the predictions, in one
transaction, so that a half is never both joined and waiting.
"""

# ruff: noqa: S608 - the SQL is put together from texts of this file; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from seamark.core.inference import HALVES, JOINED, REQUEST, RESPONSE, Half, Key
from seamark.core.records import INFERENCE_PAYLOADS
from seamark.core.windows import Window
from seamark.store.lake import Lake

_KEY = "model, version, inference_id"
_US = 'CAST(epoch_us("at") AS BIGINT) AS at_us, CAST(epoch_us(received_at) AS BIGINT) AS received_us'
# Of those inferences of which a half was received in [$asked_start, $asked_end): the others are not even grouped.
_WAITING = f"""
    SELECT {_KEY}, min(received_at) AS first_at, min(half) AS half, min(half) <> max(half) AS complete,
        sum(body_bytes) AS body_bytes
    FROM lake.inference_payloads WHERE received_at >= $start AND received_at < $end AND inference_id IN (
        SELECT inference_id FROM lake.inference_payloads WHERE received_at >= $asked_start AND received_at < $asked_end)
    GROUP BY {_KEY} HAVING NOT bool_or(half = '{JOINED}')
"""


@dataclass(frozen=True)
class Pair:
    """An inference of which both halves wait, and the bytes of their bodies."""

    key: Key
    body_bytes: int


def rows_of(halves: Sequence[Half]) -> pa.Table:
    """Return halves as rows that wait."""
    return _table([_row(half, half.half, half.body) for half in halves])


def joined_rows(halves: Sequence[Half]) -> pa.Table:
    """Return rows that say of each half's inference that its predictions are stored."""
    return _table([_row(half, JOINED, None) for half in halves])


def waiting_pairs(lake: Lake, window: Window, asked: Window, pairs_max: int) -> list[Pair]:
    """Return the inferences of which both halves were received in the window, one of them in `asked`, and wait.

    The oldest come first.
    """
    found = lake.query(
        f"SELECT {_KEY}, body_bytes FROM ({_WAITING}) WHERE complete ORDER BY first_at, {_KEY} LIMIT $pairs_max",
        {**_times(window, asked), "pairs_max": pairs_max},
        within=window.bounds,
    )
    return [
        Pair((row["model"], row["version"], row["inference_id"]), int(row["body_bytes"])) for row in found.to_pylist()
    ]


def read_pairs(lake: Lake, window: Window, keys: Sequence[Key]) -> list[tuple[Half, Half]]:
    """Return (request, response) of each of these inferences that has both in the window; of repeats the first."""
    found = lake.query(
        f"SELECT DISTINCT ON ({_KEY}, half) {_KEY}, half, {_US}, trace_id, segment, synthetic, feature_names, body"
        " FROM lake.inference_payloads WHERE received_at >= $start AND received_at < $end AND body IS NOT NULL"
        f" AND inference_id IN (SELECT unnest($ids)) ORDER BY {_KEY}, half, received_at",
        {"start": window.start, "end": window.end, "ids": sorted({key[2] for key in keys})},
        within=window.bounds,
    )
    halves: dict[Key, dict[str, Half]] = {key: {} for key in keys}
    for row in found.to_pylist():
        half = Half(**row | {"feature_names": tuple(row["feature_names"] or ())})
        if half.key in halves:
            halves[half.key][half.half] = half
    return [(both[REQUEST], both[RESPONSE]) for both in halves.values() if len(both) == len(HALVES)]


def count_alone(lake: Lake, window: Window, first: Window) -> dict[str, int]:
    """Return, by half, of how many inferences only one half was received in the window, that one within `first`."""
    found = lake.query(
        f"SELECT half, count(*) AS n FROM ({_WAITING}) WHERE NOT complete AND first_at < $asked_end GROUP BY half",
        _times(window, first),
        within=window.bounds,
    )
    return {row["half"]: int(row["n"]) for row in found.to_pylist()}


def _times(window: Window, asked: Window) -> dict[str, datetime]:
    return {"start": window.start, "end": window.end, "asked_start": asked.start, "asked_end": asked.end}


def _row(half: Half, kind: str, body: bytes | None) -> tuple[object, ...]:
    """Return the values in the order of INFERENCE_PAYLOADS."""
    return (
        half.model,
        half.version,
        half.inference_id,
        kind,
        half.at_us,
        half.trace_id,
        half.segment,
        half.synthetic,
        list(half.feature_names) or None,
        body,
        len(body or b""),
        half.received_us,
    )


def _table(rows: Sequence[tuple[object, ...]]) -> pa.Table:
    arrays = [
        pa.array(column, type=field.type)
        for column, field in zip(zip(*rows, strict=True), INFERENCE_PAYLOADS, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=INFERENCE_PAYLOADS)
