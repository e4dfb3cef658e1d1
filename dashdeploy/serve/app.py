"""The HTTP routes of the Open Inference Protocol, version 2.

Every error, that of an unknown route included, has a body ``{"error": message}``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dashdeploy import __version__
from dashdeploy.serve.body import DEFAULT_LIMIT, decompress, read_body
from dashdeploy.serve.codec import EncodedResponse, decode_request, encode_response
from dashdeploy.serve.models import ModelRepository, ServedModel
from dashdeploy.serve.request_error import RequestError

_HEADER_LENGTH = "Inference-Header-Content-Length"


class InferenceApp:
    """The protocol's endpoints over a repository of models.

    Args:
        repository: the models.
        executor: runs inference, decoding and encoding, so that the event loop stays free for everyone else.
        body_limit: the most bytes of a request body, before and after decompression.

    Attributes:
        ready: what ``/v2/health/ready`` answers; turned off when the server begins to drain.
    """

    def __init__(
        self, repository: ModelRepository, executor: Executor, *, body_limit: int = DEFAULT_LIMIT
    ) -> None:
        self.ready = True
        self._repository = repository
        self._executor = executor
        self._body_limit = body_limit

    def asgi(self) -> Starlette:
        """The ASGI application."""
        routes: list[Route] = []
        # Inference comes first because routes are tried in order and it is what is asked for.
        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes += [
                Route(f"{prefix}/infer", self._infer, methods=["POST"]),
                Route(f"{prefix}/ready", self._model_ready),
                Route(prefix, self._model_metadata),
            ]
        routes += [
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._server_ready),
            Route("/v2", self._server_metadata),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                RequestError: _answer_request_error,
                HTTPException: _answer_http_exception,
                ClientDisconnect: _answer_nobody,
                Exception: _answer_unexpected,
            },
        )
        app.router.redirect_slashes = False
        return app

    async def _live(self, _request: Request) -> Response:
        return _json_response({"live": True})

    async def _server_ready(self, _request: Request) -> Response:
        self._check_ready()
        return _json_response({"ready": True})

    async def _server_metadata(self, _request: Request) -> Response:
        return _json_response(
            {"name": "dashdeploy", "version": __version__, "extensions": ["binary_tensor_data"]}
        )

    async def _model_ready(self, request: Request) -> Response:
        model = self._model(request)
        self._check_ready()
        return _json_response({"name": model.name, "ready": True})

    async def _model_metadata(self, request: Request) -> Response:
        return _json_response(self._model(request).metadata())

    async def _infer(self, request: Request) -> Response:
        model = self._model(request)
        headers = request.headers
        body = await read_body(request.stream(), headers.get("Content-Length"), limit=self._body_limit)
        encoded = await asyncio.get_running_loop().run_in_executor(
            self._executor,
            self._answer,
            model,
            body,
            headers.get("Content-Encoding"),
            headers.get(_HEADER_LENGTH),
        )
        if encoded.header_length is None:
            return Response(encoded.body, media_type="application/json")
        return Response(
            encoded.body,
            headers={_HEADER_LENGTH: str(encoded.header_length)},
            media_type="application/octet-stream",
        )

    def _answer(
        self, model: ServedModel, body: bytes, encoding: str | None, header_length: str | None
    ) -> EncodedResponse:
        """Decode, run, encode: the part of an inference that runs in the executor."""
        decoded = decode_request(
            decompress(body, encoding, limit=self._body_limit),
            header_length,
            model=model.name,
            inputs=model.inputs,
            outputs=model.outputs,
        )
        return encode_response(decoded, model.run(decoded.feeds), model=model.name, version=model.version)

    def _model(self, request: Request) -> ServedModel:
        return self._repository.find(request.path_params["model"], request.path_params.get("version"))

    def _check_ready(self) -> None:
        if not self.ready:
            raise RequestError(503, "the server is shutting down")


def _json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


async def _answer_request_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _json_response({"error": error.message}, error.status)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal = RequestError(error.status_code, f"{error.detail}: {request.method} {request.url.path}")
    return _json_response({"error": refusal.message}, refusal.status, dict(error.headers or {}))


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _answer_unexpected(_request: Request, error: Exception) -> Response:
    return _json_response({"error": f"internal error: {type(error).__name__}"}, 500)
