"""The standard health service, ``grpc.health.v1.Health``, over the models; and reflection.

Kubernetes' gRPC probes, ``grpc_health_probe`` and gRPC's own clients ask it. The messages come from
grpcio-health-checking. Its asynchronous servicer is not used: when one of several clients that watch a service
leaves, it stops telling the others. Source: "GRPC Health Checking Protocol".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.serve.grpc.messages import SERVICE
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.readiness import Readiness

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SERVING: int = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

# As in `service`: neither the generated classes nor grpc's contexts have types.
Message = Any
Context = Any


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the generated class has no types
    """Check and Watch of the server and its models.

    A service is the empty name or the inference service's (the server), ``MODEL`` (its highest version), or
    ``MODEL/VERSION``. A model that was found on disk but is not served is NOT_SERVING.

    Args:
        repository: the models.
        readiness: whether the server and each model are ready; says when that changes.
    """

    def __init__(self, repository: ModelRepository, readiness: Readiness) -> None:
        self._repository = repository
        self._readiness = readiness

    async def Check(self, request: Message, context: Context) -> Message:  # noqa: N802 - the RPC's name
        """Answer once."""
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service '{request.service}'")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Message, _context: Context) -> AsyncIterator[Message]:  # noqa: N802 - as above
        """Answer now and at every change, until the server is to stop."""
        last = None
        while True:
            changed = self._readiness.next_change()
            draining = self._readiness.drain_begins.is_set()  # before the status, which a drain may overtake
            status = self._status(request.service)
            status = _UNKNOWN if status is None else status
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if draining:  # an open stream would hold the drain up
                return
            await changed.wait()

    def _status(self, service: str) -> int | None:
        """The status of a service; None for an unknown service."""
        try:
            if service in ("", SERVICE, HEALTH_SERVICE):
                self._readiness.check_server()
                return _SERVING
            name, _, version = service.partition("/")
            self._readiness.check_model(self._repository.find(name, version or None))
        except RequestError as error:
            known = error.status == 503 or self._is_on_disk(service)
            return _NOT_SERVING if known else None
        return _SERVING

    def _is_on_disk(self, service: str) -> bool:
        slots = self._repository.bundle_slots
        return any(service in (slot.name, f"{slot.name}/{slot.version}") for slot in slots if slot.version)


def add_reflection(server: grpc.aio.Server) -> None:
    """Let clients ask which services and messages there are, as grpcurl does.

    Raises:
        MissingCapabilityError: grpcio-reflection is not installed.
    """
    try:
        from grpc_reflection.v1alpha import reflection, reflection_pb2
    except ImportError as error:
        raise MissingCapabilityError(
            f"`grpc_reflection`: {error.name} is not installed; install it with: pip install 'dashdeploy[serve]'"
        ) from error
    # The inference messages are in a pool of their own (see `messages`), the others in the default one.
    pool = DescriptorPool()
    compiled = files("dashdeploy.serve.grpc").joinpath("inference.pb").read_bytes()
    for file in FileDescriptorSet.FromString(compiled).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    names = (SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool)
