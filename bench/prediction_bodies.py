"""A seed -> requests of fresh predictions with thirty features, as NDJSON, an Arrow IPC stream and OTLP logs.

Of the features twenty are measurements with all their digits or rounded to four, five are counts and five are words
from sets of 4 to 500. Every row has an id, a time and a trace of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bench import protobuf_bytes as pb
from bench.span_bodies import MODEL, resource_of

DOUBLES = tuple(f"measure_{n:02d}" for n in range(20))  # the second ten are rounded
COUNTS = tuple(f"count_{n:02d}" for n in range(5))
WORDS = {"country": 60, "plan": 4, "channel": 9, "segment_id": 500, "device": 30}  # how many values each has
FEATURES = (*DOUBLES, *COUNTS, *WORDS)
SPREAD_US = 1_000_000
_MAP_ENTRY, _STRING_LIST = 1, 6
_ENCODE: Callable[[Any], bytes] = msgspec.json.Encoder().encode_lines


def _draw(seed: tuple[int, ...], rows: int, at_ns: int) -> dict[str, Any]:
    """Return columns: one for each feature, and what else a prediction has."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    measures = rng.lognormal(1.0, 0.7, (len(DOUBLES), rows)) * np.linspace(0.5, 300, len(DOUBLES))[:, None]
    measures[10:] = np.round(measures[10:], 4)
    columns: dict[str, Any] = dict(zip(DOUBLES, measures, strict=True))
    columns |= {name: rng.poisson(3 + 20 * n, rows) for n, name in enumerate(COUNTS)}
    for name, values in WORDS.items():
        names = np.array([f"{name}-{n}" for n in range(values)], dtype=object)
        columns[name] = names[np.minimum(rng.geometric(3 / values, rows) - 1, values - 1)]
    return columns | {
        "ids": rng.bytes(8 * rows),
        "trace_ids": rng.bytes(16 * rows),
        "at_us": at_ns // 1000 + np.sort(rng.integers(0, SPREAD_US, rows)),
        "score": np.round(rng.beta(2, 5, rows), 6),
        "latency_ms": np.round(rng.lognormal(1.5, 0.6, rows), 3),
    }


def _hex(raw: bytes, size: int) -> list[str]:
    text = raw.hex()
    return [text[n : n + 2 * size] for n in range(0, len(text), 2 * size)]


def ndjson(seed: tuple[int, ...], rows: int, at_ns: int) -> bytes:
    """Return so many records, one to a line."""
    drawn = _draw(seed, rows, at_ns)
    version = resource_of(seed)["service.version"]
    features = zip(*(drawn[name].tolist() for name in FEATURES), strict=True)
    facts = zip(
        _hex(drawn["ids"], 8),
        _hex(drawn["trace_ids"], 16),
        (drawn["at_us"] / 1e6).tolist(),
        drawn["score"].tolist(),
        drawn["latency_ms"].tolist(),
        features,
        strict=True,
    )
    return _ENCODE(
        [
            {
                "model": MODEL,
                "version": version,
                "prediction_id": prediction_id,
                "at": at_s,
                "trace_id": trace_id,
                "features": dict(zip(FEATURES, values, strict=True)),
                "prediction": score,
                "latency_ms": latency_ms,
            }
            for prediction_id, trace_id, at_s, score, latency_ms, values in facts
        ]
    )


def arrow(seed: tuple[int, ...], rows: int, at_ns: int) -> bytes:
    """Return so many records as an Arrow IPC stream; the features are one struct column."""
    drawn = _draw(seed, rows, at_ns)
    version = resource_of(seed)["service.version"]
    columns = {
        "model": pa.repeat(MODEL, rows),
        "version": pa.repeat(version, rows),
        "prediction_id": pa.array(_hex(drawn["ids"], 8)),
        "at": pa.array(drawn["at_us"], pa.timestamp("us", tz="UTC")),
        "trace_id": pa.array(_hex(drawn["trace_ids"], 16)),
        "features": pa.StructArray.from_arrays([pa.array(drawn[name]) for name in FEATURES], list(FEATURES)),
        "prediction": pa.array(drawn["score"]),
        "latency_ms": pa.array(drawn["latency_ms"]),
    }
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def otlp_logs(seed: tuple[int, ...], rows: int, at_ns: int) -> bytes:
    """Return an ExportLogsServiceRequest of so many seamark.prediction events, their features as a map."""
    drawn = _draw(seed, rows, at_ns)
    resource = pb.field(1, pb.attributes(pb.ATTRIBUTE_OF_RESOURCE, resource_of(seed)))
    scope = pb.field(1, pb.field(1, b"seamark_sdk"))
    return pb.field(1, resource + pb.field(2, scope + b"".join(_records(drawn))))


def _records(drawn: dict[str, Any]) -> Iterator[bytes]:
    number = pb.ATTRIBUTE_OF_RECORD
    prefix = {name: pb.fresh_double_prefix(number, f"seamark.prediction.{name}") for name in ("value", "latency_ms")}
    features_key = pb.field(1, b"seamark.features")
    prediction_id, pack = pb.FreshText(number, "seamark.prediction.id"), struct.Struct("<d").pack
    names = (*COUNTS, *WORDS)
    words = zip(*(drawn[name].tolist() for name in names), strict=True)
    ids, at_us = _hex(drawn["ids"], 8), drawn["at_us"].tolist()
    scores, latencies_ms = drawn["score"].tolist(), drawn["latency_ms"].tolist()
    for n, (doubles, others) in enumerate(zip(_doubles(drawn), words, strict=True)):
        entries = doubles + b"".join(map(_entry, names, others))
        features = field_of_map(features_key, entries)
        at_ns = struct.pack("<Q", at_us[n] * 1000)
        record = [
            b"\x09" + at_ns + b"\x59" + at_ns + b"\x10\x09",
            prediction_id(ids[n].encode()),
            prefix["value"] + pack(scores[n]),
            prefix["latency_ms"] + pack(latencies_ms[n]),
            pb.field(number, features),
            pb.field(9, drawn["trace_ids"][16 * n : 16 * n + 16]),
            pb.field(12, b"seamark.prediction"),
        ]
        yield pb.field(2, b"".join(record))


def field_of_map(key: bytes, entries: bytes) -> bytes:
    """Return a KeyValue whose value is a KeyValueList of these entries."""
    return key + pb.field(2, pb.field(_STRING_LIST, entries))


def _entry(name: str, value: str | int) -> bytes:
    return pb.attribute(_MAP_ENTRY, name, value)


def _doubles(drawn: dict[str, Any]) -> Sequence[bytes]:
    """Return, for each row, the map entries of the measurements: their layout is the same in every row."""
    prefixes = [pb.fresh_double_prefix(_MAP_ENTRY, name) for name in DOUBLES]
    template = b"".join(prefix + bytes(8) for prefix in prefixes)
    rows = len(drawn["score"])
    matrix = np.tile(np.frombuffer(template, np.uint8), (rows, 1))
    place = 0
    for name, prefix in zip(DOUBLES, prefixes, strict=True):
        place += len(prefix)
        matrix[:, place : place + 8] = np.ascontiguousarray(drawn[name]).view(np.uint8).reshape(rows, 8)
        place += 8
    flat = matrix.tobytes()
    return [flat[n : n + len(template)] for n in range(0, len(flat), len(template))]
