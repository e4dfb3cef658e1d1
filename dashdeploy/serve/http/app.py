"""The HTTP routes of the Open Inference Protocol, version 2, and of Triton's extensions."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from dashdeploy.serve.http.body import read_body
from dashdeploy.serve.http.console import console_routes
from dashdeploy.serve.http.errors import json_response
from dashdeploy.serve.http.inference import HttpInference
from dashdeploy.serve.http.openapi import openapi
from dashdeploy.serve.observability.metrics import CONTENT_TYPE, ServerMetrics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.input_tensors import parameters_of
from dashdeploy.serve.repository import metadata
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.readiness import Readiness
from dashdeploy.serve.repository.served_model import ServedModel


class InferenceApp:
    """The protocol's endpoints over a repository of models.

    Args:
        repository: the models.
        readiness: whether the server is ready.
        inference: answers the inference requests.
    """

    def __init__(self, repository: ModelRepository, readiness: Readiness, inference: HttpInference) -> None:
        self._repository = repository
        self._readiness = readiness
        self._inference = inference
        self._metrics = ServerMetrics(repository)

    def asgi(self) -> Router:
        """The ASGI application; its errors are exceptions, which `RequestMiddleware` answers."""
        routes: list[Route] = []
        # Inference comes first because routes are tried in order and most requests are inferences.
        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes.append(Route(f"{prefix}/infer", self._inference, methods=["POST"]))
        routes.append(Route("/v2/models/stats", self._statistics))
        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes += [
                Route(f"{prefix}/ready", self._model_ready),
                Route(f"{prefix}/config", self._model_config),
                Route(f"{prefix}/stats", self._statistics),
                Route(f"{prefix}/sample", self._sample),
                Route(prefix, self._model_metadata),
            ]
        routes += [
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._server_ready),
            Route("/v2/repository/index", self._index, methods=["POST"]),
            Route("/v2/repository/models/{model}/load", self._load, methods=["POST"]),
            Route("/v2/repository/models/{model}/unload", self._unload, methods=["POST"]),
            Route("/v2", self._server_metadata),
            Route("/metrics", self._metrics_text),
            Route("/openapi.json", self._openapi),
            *console_routes(),
        ]
        return Router(routes, redirect_slashes=False)

    async def _live(self, _request: Request) -> Response:
        return json_response({"live": True})

    async def _server_ready(self, _request: Request) -> Response:
        self._readiness.check_server()
        return json_response({"ready": True})

    async def _server_metadata(self, _request: Request) -> Response:
        return json_response(metadata.server_metadata())

    async def _model_ready(self, request: Request) -> Response:
        try:
            model = self._model(request)
        except RequestError as error:  # as in Triton, a model that is not there is one that is not ready
            raise RequestError(400, f"Model version not ready: {error.message}") from error
        self._readiness.check_model(model)
        return json_response({"name": model.name, "ready": True})

    async def _model_metadata(self, request: Request) -> Response:
        model = self._model(request)
        return json_response(metadata.model_metadata(model, self._repository.versions(model.name)))

    async def _model_config(self, request: Request) -> Response:
        model = self._model(request)
        return json_response(metadata.model_config(model, self._repository.policy(model.name)))

    async def _sample(self, request: Request) -> Response:
        model = self._model(request)
        if model.sample is None:
            raise RequestError(404, f"the bundle of model '{model.name}' has no sample")
        return Response(model.sample, media_type="application/json")

    async def _statistics(self, request: Request) -> Response:
        name, version = request.path_params.get("model"), request.path_params.get("version")
        return json_response(metadata.statistics(self._repository.select(name, version)))

    async def _index(self, request: Request) -> Response:
        body = await read_body(request.stream(), request.headers.get("Content-Length"), limit=_CONTROL_LIMIT)
        ready_only = _object(body).get("ready", False)
        if not isinstance(ready_only, bool):
            raise RequestError(400, "'ready' is not true or false")
        return json_response(metadata.repository_index(self._repository.bundle_slots, ready_only=ready_only))

    async def _load(self, request: Request) -> Response:
        body = await read_body(request.stream(), request.headers.get("Content-Length"), limit=_CONTROL_LIMIT)
        parameters = parameters_of(_object(body))
        await self._repository.load_model(request.path_params["model"], parameters)
        return Response(status_code=200)

    async def _unload(self, request: Request) -> Response:
        await self._repository.unload_model(request.path_params["model"])
        return Response(status_code=200)

    async def _metrics_text(self, _request: Request) -> Response:
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi(self, _request: Request) -> Response:
        return json_response(openapi())

    def _model(self, request: Request) -> ServedModel:
        return self._repository.find(request.path_params["model"], request.path_params.get("version"))


_CONTROL_LIMIT = 64 * 1024
"""The most bytes of the body of any request but an inference."""


def _object(body: bytes) -> dict[str, object]:
    if not body.strip():
        return {}
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"failed to parse the request JSON: {error}") from error
    if not isinstance(content, dict):
        raise RequestError(400, "the request is not a JSON object")
    return content
