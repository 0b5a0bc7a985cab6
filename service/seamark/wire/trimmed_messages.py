"""Message types of our own, written as dictionaries, become readers that turn protobuf bytes into nested Arrow arrays.

They name OTLP's fields by their numbers and leave out what is not wanted; what nests without end they leave as bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import ptars
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

STRING, BYTES, BOOL = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_BOOL
INT32, INT64 = FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_INT64
DOUBLE, FIXED64 = FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FIXED64

BYTES_LIST = "[bytes]"

# Fields by message: number, and a type above, "X" for a message or "[X]" for a list of X.
Messages = Mapping[str, Mapping[str, tuple[int, int | str]]]


def reader_of(root: str, messages: Messages, one_of: Collection[str]) -> Any:
    """Return ptars's reader of `root` messages; of the messages in `one_of` at most one field is set.

    Its list_to_record_batch(bodies) returns a row for each body, or raises ValueError where one is no such message.
    """
    package = f"seamark.{root.lower()}"
    pool = DescriptorPool()
    pool.AddSerializedFile(_file(package, messages, one_of).SerializeToString())
    found = pool.FindMessageTypeByName(f"{package}.{root}")
    return ptars.HandlerPool([found.file]).get_for_message(found)


def _file(package: str, messages: Messages, one_of: Collection[str]) -> FileDescriptorProto:
    file = FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        if name in one_of:
            message.oneof_decl.add(name="value")
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if name in one_of:
                field.oneof_index = 0
            if isinstance(kind, int):
                field.type = kind
                continue
            if kind.startswith("["):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if kind == BYTES_LIST:
                field.type = BYTES
            else:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{kind.strip('[]')}"
    return file
