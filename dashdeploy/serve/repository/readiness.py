"""Whether the server, and each of its models, is ready; HTTP and gRPC use the same object."""

from __future__ import annotations

import asyncio

from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.served_model import ServedModel


class Readiness:
    """The readiness of a server and its models.

    Args:
        repository: the models.

    Attributes:
        drain_begins: set when the server is to stop.
    """

    def __init__(self, repository: ModelRepository) -> None:
        self.drain_begins = asyncio.Event()
        self._repository = repository

    def drain(self) -> None:
        """Stop being ready."""
        self.drain_begins.set()

    def check_server(self) -> None:
        """Raise unless the server takes requests and every model is ready, as in Triton.

        Raises:
            RequestError: 503.
        """
        self._check_draining()
        for model in self._repository:
            self.check_model(model)

    def check_model(self, model: ServedModel) -> None:
        """Raise unless `model` takes requests.

        Raises:
            RequestError: 503.
        """
        self._check_draining()
        model.check_engine()

    def _check_draining(self) -> None:
        if self.drain_begins.is_set():
            raise RequestError(503, "the server is shutting down")
