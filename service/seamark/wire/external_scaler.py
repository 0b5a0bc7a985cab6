"""KEDA's external scaler protocol: a call's bytes become what is asked, an answer becomes bytes.

Its messages (package `externalscaler`) are few and frozen by name and number, so their descriptors are built here: code
that protoc writes would be one more thing to keep. They live in a pool of their own, where nobody else's file of that
package can collide with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from seamark.core.errors import InputRefused

SERVICE = "externalscaler.ExternalScaler"
_PACKAGE = "externalscaler"
_ENTRY = "ScalerMetadataEntry"
_STRING, _BOOL = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BOOL
_INT64, _DOUBLE = FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.TYPE_DOUBLE

# Message -> its fields, numbered from 1. A type in words is a message; with * there may be many.
_FIELDS: dict[str, dict[str, int | str]] = {
    "ScaledObjectRef": {"name": _STRING, "namespace": _STRING, "scalerMetadata": f"*ScaledObjectRef.{_ENTRY}"},
    "IsActiveResponse": {"result": _BOOL},
    "GetMetricSpecResponse": {"metricSpecs": "*MetricSpec"},
    "MetricSpec": {"metricName": _STRING, "targetSize": _INT64, "targetSizeFloat": _DOUBLE},
    "GetMetricsRequest": {"scaledObjectRef": "ScaledObjectRef", "metricName": _STRING},
    "GetMetricsResponse": {"metricValues": "*MetricValue"},
    "MetricValue": {"metricName": _STRING, "metricValue": _INT64, "metricValueFloat": _DOUBLE},
}


@dataclass(frozen=True)
class ScaledObject:
    """Which ScaledObject asks, and the `metadata` of its trigger."""

    name: str
    namespace: str
    metadata: Mapping[str, str]


def read_scaled_object(message: bytes) -> ScaledObject:
    """Return what a ScaledObjectRef says; InputRefused where the bytes are none."""
    return _scaled_object(_parsed("ScaledObjectRef", message))


def read_metrics_request(message: bytes) -> tuple[ScaledObject, str]:
    """Return (who asks, the metric's name) of a GetMetricsRequest; InputRefused where the bytes are none."""
    request = _parsed("GetMetricsRequest", message)
    return _scaled_object(request.scaledObjectRef), request.metricName


def active_answer(active: bool) -> bytes:
    """Return an IsActiveResponse."""
    return _bytes(_MESSAGES["IsActiveResponse"](result=active))


def spec_answer(metric: str, target: int) -> bytes:
    """Return a GetMetricSpecResponse with one metric; the target stands in the old field and in the new one."""
    spec = {"metricName": metric, "targetSize": target, "targetSizeFloat": float(target)}
    return _bytes(_MESSAGES["GetMetricSpecResponse"](metricSpecs=[spec]))


def metrics_answer(metric: str, value: int) -> bytes:
    """Return a GetMetricsResponse with one value, in the old field and in the new one."""
    found = {"metricName": metric, "metricValue": value, "metricValueFloat": float(value)}
    return _bytes(_MESSAGES["GetMetricsResponse"](metricValues=[found]))


def _parsed(name: str, message: bytes) -> Any:
    try:
        return _MESSAGES[name].FromString(message)
    except DecodeError:
        raise InputRefused(f"the message is no {name} of KEDA's external scaler protocol") from None


def _scaled_object(ref: Any) -> ScaledObject:
    return ScaledObject(ref.name, ref.namespace, dict(ref.scalerMetadata))


def _bytes(message: Any) -> bytes:
    out: bytes = message.SerializeToString()
    return out


def _message(name: str, fields: Mapping[str, int | str]) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for number, (field, kind) in enumerate(fields.items(), 1):
        many = isinstance(kind, str) and kind.startswith("*")
        label = FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
        written = message.field.add(name=field, number=number, label=label, json_name=field)
        if isinstance(kind, str):
            written.type, written.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind.lstrip('*')}"
        else:
            written.type = kind
    return message


def _messages() -> dict[str, Any]:
    file = FileDescriptorProto(name="externalscaler.proto", package=_PACKAGE, syntax="proto3")
    file.message_type.extend(_message(name, fields) for name, fields in _FIELDS.items())
    entry = file.message_type[0].nested_type.add()
    entry.CopyFrom(_message(_ENTRY, {"key": _STRING, "value": _STRING}))
    entry.options.map_entry = True
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_MESSAGES = _messages()
