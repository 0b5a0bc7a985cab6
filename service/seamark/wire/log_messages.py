"""An OTLP logs export in protobuf becomes nested Arrow arrays, trimmed to what prediction events are made of.

Rare parts (arrays, maps inside maps, the resource) stay bytes; parts that predictions do not need (a record's body, its
severity) are passed over without being read.
"""

from __future__ import annotations

import pyarrow as pa

from seamark.wire.trimmed_messages import BOOL, BYTES, DOUBLE, FIXED64, INT64, STRING, Messages, reader_of

_PLAIN_VALUES = {
    "string_value": (1, STRING),
    "bool_value": (2, BOOL),
    "int_value": (3, INT64),
    "double_value": (4, DOUBLE),
    "array_value": (5, BYTES),
    "bytes_value": (7, BYTES),
}
_MESSAGES: Messages = {
    "FeatureValue": {**_PLAIN_VALUES, "kvlist_value": (6, BYTES)},
    "Feature": {"key": (1, STRING), "value": (2, "FeatureValue")},
    "Features": {"values": (1, "[Feature]")},
    "AnyValue": {**_PLAIN_VALUES, "kvlist_value": (6, "Features")},
    "KeyValue": {"key": (1, STRING), "value": (2, "AnyValue")},
    "LogRecord": {
        "time_unix_nano": (1, FIXED64),
        "attributes": (6, "[KeyValue]"),
        "trace_id": (9, BYTES),
        "observed_time_unix_nano": (11, FIXED64),
        "event_name": (12, STRING),
    },
    "ScopeLogs": {"log_records": (2, "[LogRecord]")},
    "ResourceLogs": {"resource": (1, BYTES), "scope_logs": (2, "[ScopeLogs]")},
    "Logs": {"resource_logs": (1, "[ResourceLogs]")},
}
KINDS = tuple(_MESSAGES["AnyValue"])  # of a value: at most one is set
_ONE_OF = ("FeatureValue", "AnyValue")


def read_log_messages(body: bytes) -> pa.StructArray:
    """Return the export's resources, each with its scopes and their records; ValueError where it is no message."""
    batch: pa.RecordBatch = _HANDLER.list_to_record_batch([body])
    return batch.column(0).flatten()


_HANDLER = reader_of("Logs", _MESSAGES, _ONE_OF)
