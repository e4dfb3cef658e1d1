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
        self._change = asyncio.Event()
        repository.on_change = self._tell

    def drain(self) -> None:
        """Stop being ready."""
        self.drain_begins.set()
        self._tell()

    def next_change(self) -> asyncio.Event:
        """Set once the readiness of the server or of a model may have changed; take it before looking."""
        return self._change

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

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
