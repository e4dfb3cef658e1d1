"""One inference over HTTP: body, decode, run, encode, compress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.body import compress, decompress, read_body
from dashdeploy.serve.codec import EncodedResponse, decode_request, encode_response
from dashdeploy.serve.inference_request import InferRequest, requested_results
from dashdeploy.serve.models import ServedModel
from dashdeploy.serve.repository import ModelRepository

_Result = TypeVar("_Result")

_HEADER_LENGTH = "Inference-Header-Content-Length"

_INLINE_BYTES = 128 * 1024
"""Up to here decoding and encoding take less than the way to another thread and back would."""


class HttpInference:
    """Answers inference requests.

    Args:
        repository: the models.
        executor: decodes and encodes what is large, so that the event loop stays free for everyone else.
        body_limit: the most bytes of a request body, before and after decompression, and of a tensor.
    """

    def __init__(self, repository: ModelRepository, executor: Executor, *, body_limit: int) -> None:
        self._repository = repository
        self._executor = executor
        self._body_limit = body_limit

    async def answer(self, request: Request) -> Response:
        """The response to one request.

        Raises:
            RequestError: the request is refused, or failed.
        """
        headers = request.headers
        name, version = request.path_params["model"], request.path_params.get("version")
        with self._repository.find(name, version) as model:
            model.check_admission()
            body = await read_body(request.stream(), headers.get("Content-Length"), limit=self._body_limit)
            encoding, header_length = headers.get("Content-Encoding"), headers.get(_HEADER_LENGTH)
            decoded = await self._apart_if_large(
                len(body) if encoding is None else self._body_limit,
                lambda: self._decode(model, body, encoding, header_length),
            )
            results = await model.infer(
                decoded.feeds, timeout=decoded.timeout, gone=lambda: _disconnected(request)
            )
            asked = requested_results(decoded, results, labels=model.labels, batched=model.batched)
            accepted = headers.get("Accept-Encoding")
            size = sum(array.nbytes for array in asked.values())
            encoded, used = await self._apart_if_large(
                size if accepted is None else 16 * size,
                lambda: self._encode(model, decoded, asked, accepted),
            )
        response_headers = {} if used is None else {"Content-Encoding": used, "Vary": "Accept-Encoding"}
        if encoded.header_length is None:
            return Response(encoded.body, headers=response_headers, media_type="application/json")
        response_headers[_HEADER_LENGTH] = str(encoded.header_length)
        return Response(encoded.body, headers=response_headers, media_type="application/octet-stream")

    def _decode(
        self, model: ServedModel, body: bytes, encoding: str | None, header_length: str | None
    ) -> InferRequest:
        return decode_request(
            decompress(body, encoding, limit=self._body_limit),
            header_length,
            model=model.name,
            inputs=model.inputs,
            outputs=model.outputs,
            limit=self._body_limit,
        )

    @staticmethod
    def _encode(
        model: ServedModel, request: InferRequest, results: dict[str, Array], accepted: str | None
    ) -> tuple[EncodedResponse, str | None]:
        encoded = encode_response(request, results, model=model.name, version=model.version)
        body, used = compress(encoded.body, accepted)
        return EncodedResponse(body, encoded.header_length), used

    async def _apart_if_large(self, size: int, work: Callable[[], _Result]) -> _Result:
        if size <= _INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


async def _disconnected(request: Request) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
