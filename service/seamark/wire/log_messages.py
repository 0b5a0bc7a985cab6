"""An OTLP logs export in protobuf becomes nested Arrow arrays, trimmed to what prediction events are made of.

Rare parts (arrays, maps inside maps, the resource) stay bytes; parts that predictions do not need (a record's body, its
severity) are passed over without being read.
"""

from __future__ import annotations

from typing import Any

import ptars
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool

_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _BYTES, _BOOL = _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES, _FIELD.TYPE_BOOL
_INT, _DOUBLE, _FIXED = _FIELD.TYPE_INT64, _FIELD.TYPE_DOUBLE, _FIELD.TYPE_FIXED64

_PLAIN_VALUES = {
    "string_value": (1, _STRING),
    "bool_value": (2, _BOOL),
    "int_value": (3, _INT),
    "double_value": (4, _DOUBLE),
    "array_value": (5, _BYTES),
    "bytes_value": (7, _BYTES),
}
# Fields by message: number and type in opentelemetry-proto; a type of "[X]" is a list of X.
_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "FeatureValue": {**_PLAIN_VALUES, "kvlist_value": (6, _BYTES)},
    "Feature": {"key": (1, _STRING), "value": (2, "FeatureValue")},
    "Features": {"values": (1, "[Feature]")},
    "AnyValue": {**_PLAIN_VALUES, "kvlist_value": (6, "Features")},
    "KeyValue": {"key": (1, _STRING), "value": (2, "AnyValue")},
    "LogRecord": {
        "time_unix_nano": (1, _FIXED),
        "attributes": (6, "[KeyValue]"),
        "trace_id": (9, _BYTES),
        "observed_time_unix_nano": (11, _FIXED),
        "event_name": (12, _STRING),
    },
    "ScopeLogs": {"log_records": (2, "[LogRecord]")},
    "ResourceLogs": {"resource": (1, _BYTES), "scope_logs": (2, "[ScopeLogs]")},
    "Logs": {"resource_logs": (1, "[ResourceLogs]")},
}
KINDS = tuple(_MESSAGES["AnyValue"])  # of a value: at most one is set
_ONE_OF = ("FeatureValue", "AnyValue")
_PACKAGE = "seamark.logs"


def read_log_messages(body: bytes) -> pa.StructArray:
    """Return the export's resources, each with its scopes and their records; ValueError where it is no message."""
    batch: pa.RecordBatch = _HANDLER.list_to_record_batch([body])
    return batch.column(0).flatten()


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="seamark/logs.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name="value")
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if name in _ONE_OF:
                field.oneof_index = 0
            if isinstance(kind, int):
                field.type = kind
                continue
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind.strip('[]')}"
            if kind.startswith("["):
                field.label = _FIELD.LABEL_REPEATED
    return file


def _handler() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    logs = pool.FindMessageTypeByName(f"{_PACKAGE}.Logs")
    return ptars.HandlerPool([logs.file]).get_for_message(logs)


_HANDLER = _handler()
