"""KEDA's side of an external scaler: a client made from its published messages, independent of the service."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


class Stub:
    """A client made from what protoc itself read in tests/golden/externalscaler.proto."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        compiled = (Path(__file__).parent / "golden/externalscaler.descriptor").read_bytes()
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(compiled).file:
            pool.AddSerializedFile(file.SerializeToString())
        service = pool.FindServiceByName("externalscaler.ExternalScaler")
        self.messages = {name: GetMessageClass(message) for name, message in service.file.message_types_by_name.items()}
        for method in service.methods:
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(
                f"/{service.full_name}/{method.name}",
                request_serializer=self.messages[method.input_type.name].SerializeToString,
                response_deserializer=self.messages[method.output_type.name].FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def ref(self, **metadata: str) -> Any:
        return self.messages["ScaledObjectRef"](name="churn", namespace="ml", scalerMetadata=metadata)

    async def value(self, ref: Any, metric: str = "", **options: Any) -> Any:
        request = self.messages["GetMetricsRequest"](scaledObjectRef=ref, metricName=metric)
        [found] = (await self.GetMetrics(request, timeout=20, **options)).metricValues
        return found

    async def all_of(self, ref: Any, **options: Any) -> set[str]:
        """The codes of the three calls of a poll: none of them gives a number where another does not."""
        return {
            await code(self.value(ref, **options)),
            await code(self.IsActive(ref, timeout=20, **options)),
            await code(self.StreamIsActive(ref, timeout=20, **options).read()),
        }


async def code(call: Awaitable[Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return str(caught.value.code().name)
