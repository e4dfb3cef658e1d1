"""Whether the server, and a model of it, is ready; HTTP and gRPC ask the same object."""

from __future__ import annotations

import asyncio

from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.served_model import ServedModel


class ServerState:
    """The server's readiness.

    Args:
        repository: the models.

    Attributes:
        drain_begins: set when the server was told to stop.
    """

    def __init__(self, repository: ModelRepository) -> None:
        self.drain_begins = asyncio.Event()
        self._repository = repository

    def drain(self) -> None:
        """Be ready no more."""
        self.drain_begins.set()

    def check_ready(self) -> None:
        """Raise unless the server takes requests and every model is ready, as Triton has it.

        Raises:
            RequestError: 503.
        """
        if self.drain_begins.is_set():
            raise RequestError(503, "the server is shutting down")
        for model in self._repository:
            self.check_model_ready(model)

    def check_model_ready(self, model: ServedModel) -> None:
        """Raise unless `model` takes requests.

        Raises:
            RequestError: 503.
        """
        if self.drain_begins.is_set():
            raise RequestError(503, "the server is shutting down")
        if model.broken:
            raise RequestError(
                503, f"model '{model.name}' is not ready: its engine is restarted", retry_after=1
            )
