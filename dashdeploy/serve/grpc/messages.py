"""The messages and RPCs of ``inference.proto``, loaded from its compiled form ``inference.pb``.

They live in a descriptor pool of their own. A process that also imports a client's copy of the protocol
(tritonclient, for example) would otherwise define the same names twice in the default pool, which Protocol Buffers
refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"
"""The full name of the service; a method's path is ``/SERVICE/METHOD``."""


@dataclass(frozen=True)
class Rpc:
    """One method of the service.

    Attributes:
        name: the method's name.
        request: the class of its requests.
        response: the class of its responses.
        streaming: whether both sides are streams; otherwise there is one request and one response.
    """

    name: str
    request: Any
    response: Any
    streaming: bool


@cache
def message_classes() -> dict[str, Any]:
    """The class of every message, by its name within the package; ``Outer.Inner`` for a nested message."""
    file = _pool().FindFileContainingSymbol(SERVICE)
    return {
        descriptor.full_name.removeprefix(f"{file.package}."): GetMessageClass(descriptor)
        for descriptor in _with_nested(file.message_types_by_name.values())
    }


def rpcs() -> list[Rpc]:
    """The methods of the service, in the order of ``inference.proto``."""
    return [
        Rpc(
            method.name,
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            streaming=method.server_streaming,
        )
        for method in _pool().FindServiceByName(SERVICE).methods
    ]


@cache
def _pool() -> DescriptorPool:
    compiled = files("dashdeploy.serve.grpc").joinpath("inference.pb").read_bytes()
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(compiled).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _with_nested(descriptors: Iterable[Any]) -> Iterable[Any]:
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from _with_nested(descriptor.nested_types)
