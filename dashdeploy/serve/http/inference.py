"""One inference over HTTP: body, decode, run, encode, compress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.http.body import compress, decompress, read_body
from dashdeploy.serve.limits.memory_budget import MemoryBudget
from dashdeploy.serve.protocol.inference_request import InferRequest, requested_results
from dashdeploy.serve.protocol.json_codec import EncodedResponse, decode_request, encode_response
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.served_model import ServedModel
from dashdeploy.serve.settings import ServeSettings

_Result = TypeVar("_Result")

_HEADER_LENGTH = b"inference-header-content-length"
_HEADERS = frozenset({_HEADER_LENGTH, b"content-length", b"content-encoding", b"accept-encoding"})

_INLINE_BYTES = 128 * 1024
"""Up to here decoding and encoding take less than the way to another thread and back would."""


class HttpInference:
    """Answers inference requests, as an ASGI application without Starlette's request and response objects.

    Args:
        repository: the models.
        executor: decodes and encodes what is large, so that the event loop stays free for everyone else.
        budget: bounds what all requests hold.
        settings: the server's.
    """

    def __init__(
        self, repository: ModelRepository, executor: Executor, budget: MemoryBudget, settings: ServeSettings
    ) -> None:
        self._repository = repository
        self._executor = executor
        self._budget = budget
        self._body_limit = settings.body_limit
        self._timeout = settings.request_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application.

        Raises:
            RequestError: the request is refused, or failed.
            ClientDisconnect: the client went away before its request was complete.
        """
        headers = _headers(scope)
        parameters = scope["path_params"]
        version = parameters.get("version")
        with (
            self._repository.find(parameters["model"], version) as model,
            self._budget.share() as share,
        ):
            model.check_admission()
            body = await read_body(
                _chunks(receive),
                headers.get(b"content-length"),
                limit=self._body_limit,
                seconds=self._timeout,
                share=share,
            )
            encoding, header_length = headers.get(b"content-encoding"), headers.get(_HEADER_LENGTH)
            decoded = await self._off_loop_if_large(
                len(body) if encoding is None else self._body_limit,
                lambda: self._decode(model, version, body, encoding, header_length),
            )
            # Without an encoding the tensors are views of the body, or shorter than their text.
            if encoding is not None:
                share.add(sum(array.nbytes for array in decoded.feeds.values()))
            ran, results = await self._repository.infer(
                model, decoded, versioned=bool(version), gone=lambda: _disconnected(receive)
            )
            requested = requested_results(decoded, results, labels=ran.labels, batched=ran.batched)
            accepted = headers.get(b"accept-encoding")
            size = sum(array.nbytes for array in requested.values())
            encoded, used = await self._off_loop_if_large(
                size if accepted is None else 16 * size,
                lambda: self._encode(ran, decoded, requested, accepted),
            )
        answer = [(b"content-length", str(len(encoded.body)).encode())]
        if used is not None:
            answer += [(b"content-encoding", used.encode()), (b"vary", b"Accept-Encoding")]
        if encoded.header_length is None:
            answer.append((b"content-type", b"application/json"))
        else:
            answer.append((b"content-type", b"application/octet-stream"))
            answer.append((_HEADER_LENGTH, str(encoded.header_length).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": answer})
        await send({"type": "http.response.body", "body": encoded.body})

    def _decode(
        self,
        model: ServedModel,
        version: str | None,
        body: bytes,
        encoding: str | None,
        header_length: str | None,
    ) -> InferRequest:
        return decode_request(
            decompress(body, encoding, limit=self._body_limit),
            header_length,
            model=model.name,
            inputs=model.inputs,
            outputs=model.outputs,
            limit=self._body_limit,
            sequences=self._repository.sequences.interfaces(model, versioned=bool(version)),
        )

    @staticmethod
    def _encode(
        model: ServedModel, request: InferRequest, results: dict[str, Array], accepted: str | None
    ) -> tuple[EncodedResponse, str | None]:
        encoded = encode_response(request, results, model=model.name, version=model.version)
        body, used = compress(encoded.body, accepted)
        return EncodedResponse(body, encoded.header_length), used

    async def _off_loop_if_large(self, size: int, work: Callable[[], _Result]) -> _Result:
        if size <= _INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _headers(scope: Scope) -> dict[bytes, str]:
    """The headers that inference uses, by their names in lower case; the last one if a name comes twice."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises:
        ClientDisconnect: it will not arrive in full.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _disconnected(receive: Receive) -> None:
    """Return when the client has closed its connection; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
