"""The gRPC server: its options, its port, its start and stop."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from dashdeploy.errors import InputError
from dashdeploy.serve.grpc.health import HealthService, add_reflection
from dashdeploy.serve.grpc.service import InferenceService
from dashdeploy.serve.listening import address_of, bind
from dashdeploy.serve.settings import ServeSettings

_ENVELOPE = 1024 * 1024
"""Bytes of a message besides its tensors: names, shapes, parameters."""


class GrpcServer:
    """Serves the RPCs on the running event loop.

    Args:
        service: the RPCs of the protocol.
        health: the RPCs of the standard health service.
        settings: the server's.
    """

    def __init__(self, service: InferenceService, health: HealthService, settings: ServeSettings) -> None:
        self._settings = settings
        limit = settings.body_limit + _ENVELOPE
        self._server = grpc.aio.server(
            handlers=[service.handler()],
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                # Without this two servers could listen on one port, each getting some of the requests.
                ("grpc.so_reuseport", 0),
                # Clients that ping more often than grpc's default are answered instead of disconnected.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.http2.max_ping_strikes", 0),
            ],
        )
        add_HealthServicer_to_server(health, self._server)
        if settings.grpc_reflection:
            add_reflection(self._server)

    def bind(self) -> int:
        """Take the port; it is served from `start` on.

        Returns:
            The port.

        Raises:
            InputError: the address cannot be bound.
        """
        settings = self._settings
        # grpc gives no reason when it cannot bind. A plain socket does, and it finds a free port for 0.
        with bind(settings.host, settings.grpc_port, parameter="grpc_port") as probe:
            port: int = probe.getsockname()[1]
        address = address_of(settings.host, port)
        try:
            if settings.tls_certificate is not None and settings.tls_key is not None:
                found = self._server.add_secure_port(
                    address, _credentials(settings.tls_key, settings.tls_certificate)
                )
            else:
                found = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise InputError(f"`grpc_port={port}`: cannot listen on {settings.host}: {error}") from error
        return int(found)

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no more RPCs, and return once those under way are answered or `grace` seconds have passed."""
        await self._server.stop(grace)


def _credentials(key: Path, certificate: Path) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
