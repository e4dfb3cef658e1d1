"""The Open Inference Protocol over gRPC: every RPC of the protocol, and Triton's extensions of it.

Errors have the codes that Triton gives, and the same messages as over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from grpc import StatusCode

from dashdeploy.serve.grpc.messages import SERVICE, Rpc, message_classes, rpcs
from dashdeploy.serve.limits.api_keys import ApiKeys
from dashdeploy.serve.limits.memory_budget import MemoryBudget
from dashdeploy.serve.observability.logs import AccessLog
from dashdeploy.serve.observability.tracing import PROPAGATED, RequestSpan, Tracing
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import requested_results
from dashdeploy.serve.protocol.protobuf_codec import decode_message, encode_message, parameter
from dashdeploy.serve.repository import metadata
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.readiness import Readiness

_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    413: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}

_OPEN_METHODS = frozenset({"ServerLive", "ServerReady"})

_SERVER_FAULTS = frozenset(
    {StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.UNKNOWN}
)
"""The codes that OpenTelemetry counts as errors of the server."""

_STREAM_METHOD = "ModelStreamInfer"

_STREAM_CONCURRENCY = 64
"""The most requests of one stream that are under way at once; the stream is read no faster than that."""

# The generated classes have no types, and neither have grpc's contexts.
Message = Any
Context = Any


class InferenceService:
    """The RPCs over a repository of models.

    Args:
        repository: the models.
        readiness: whether the server is ready.
        keys: the API keys.
        log: the access log.
        budget: bounds what all requests hold; messages are counted once grpc has read them.
        tracing: makes spans; None makes none.
        body_limit: the most bytes of a tensor.
    """

    def __init__(
        self,
        repository: ModelRepository,
        readiness: Readiness,
        keys: ApiKeys,
        log: AccessLog,
        budget: MemoryBudget,
        *,
        body_limit: int,
        tracing: Tracing | None = None,
    ) -> None:
        self._repository = repository
        self._readiness = readiness
        self._keys = keys
        self._log = log
        self._budget = budget
        self._tracing = tracing
        self._body_limit = body_limit
        self._stream_response = message_classes()["ModelStreamInferResponse"]

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler of every RPC, for grpc's server."""
        answers: dict[str, Callable[[Message, Message], Awaitable[None]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
            "ModelConfig": self._config,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        methods = {rpc.name: self._method(rpc, answers) for rpc in rpcs()}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _method(
        self, rpc: Rpc, answers: Mapping[str, Callable[[Message, Message], Awaitable[None]]]
    ) -> grpc.RpcMethodHandler:
        deserialize, serialize = rpc.request.FromString, rpc.response.SerializeToString
        if rpc.streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream, deserialize, serialize)
        return grpc.unary_unary_rpc_method_handler(
            self._unary(rpc, answers[rpc.name]), deserialize, serialize
        )

    def _unary(
        self, rpc: Rpc, answer: Callable[[Message, Message], Awaitable[None]]
    ) -> Callable[[Message, Context], Awaitable[Message]]:
        name, response_class = rpc.name, rpc.response

        async def call(request: Message, context: Context) -> Message:
            if self._tracing is None or name in _OPEN_METHODS:
                return await untraced(request, context)
            with self._span(name, context) as span:
                code = StatusCode.UNKNOWN
                try:
                    response = await untraced(request, context)
                    code = StatusCode.OK
                    return response
                finally:
                    code = code if code is StatusCode.OK else context.code() or StatusCode.CANCELLED
                    span.end(code.name, failed=code in _SERVER_FAULTS)

        async def untraced(request: Message, context: Context) -> Message:
            start = perf_counter_ns()
            code = StatusCode.OK
            try:
                if self._keys.needed and name not in _OPEN_METHODS:
                    self._keys.check(_authorization(context))
                response = response_class()
                await answer(request, response)
                return response
            except RequestError as error:
                code = _CODES.get(error.status, StatusCode.UNKNOWN)
                await context.abort(code, error.message, _trailing(error))
            except asyncio.CancelledError:
                code = StatusCode.CANCELLED
                raise
            finally:
                if self._log.is_on:
                    self._log.write("grpc", context.peer(), name, code.name, start)

        return call

    async def _live(self, _request: Message, response: Message) -> None:
        response.live = True

    async def _ready(self, _request: Message, response: Message) -> None:
        response.ready = self._is(self._readiness.check_server)

    async def _model_ready(self, request: Message, response: Message) -> None:
        """Whether a model is ready; as in Triton, one that is not there is not ready, which is not an error."""
        try:
            model = self._repository.find(request.name, request.version)
        except RequestError as error:
            if error.status != 404:
                raise
            return
        response.ready = self._is(lambda: self._readiness.check_model(model))

    async def _server_metadata(self, _request: Message, response: Message) -> None:
        ParseDict(metadata.server_metadata(), response)

    async def _model_metadata(self, request: Message, response: Message) -> None:
        model = self._repository.find(request.name, request.version)
        ParseDict(metadata.model_metadata(model, self._repository.versions(model.name)), response)

    async def _config(self, request: Message, response: Message) -> None:
        model = self._repository.find(request.name, request.version)
        policy = self._repository.policy(model.name)
        ParseDict({"config": metadata.model_config(model, policy)}, response)

    async def _statistics(self, request: Message, response: Message) -> None:
        models = self._repository.select(request.name, request.version)
        ParseDict(metadata.statistics(models), response)

    async def _index(self, request: Message, response: Message) -> None:
        index = metadata.repository_index(self._repository.bundle_slots, ready_only=request.ready)
        ParseDict({"models": index}, response)

    async def _load(self, request: Message, _response: Message) -> None:
        parameters = {name: parameter(request.parameters, name) for name in request.parameters}
        await self._repository.load_model(request.model_name, parameters)

    async def _unload(self, request: Message, _response: Message) -> None:
        await self._repository.unload_model(request.model_name)

    async def _infer(self, request: Message, response: Message) -> None:
        with (
            self._repository.find(request.model_name, request.model_version) as model,
            self._budget.share() as share,
        ):
            model.check_admission()
            versioned = bool(request.model_version)
            decoded = decode_message(
                request,
                inputs=model.inputs,
                outputs=model.outputs,
                limit=self._body_limit,
                sequences=self._repository.sequences.interfaces(model, versioned=versioned),
            )
            share.add(sum(array.nbytes for array in decoded.feeds.values()))
            # A client that goes away, or whose deadline passes, cancels this coroutine.
            ran, results = await self._repository.infer(model, decoded, versioned=versioned)
            requested = requested_results(decoded, results, labels=ran.labels, batched=ran.batched)
            encode_message(response, decoded, requested, model=ran.name, version=ran.version)

    async def _stream(self, requests: AsyncIterator[Message], context: Context) -> AsyncIterator[Message]:
        """Answer the requests of a stream in their order, several of them under way at once."""
        start = perf_counter_ns()
        try:
            if self._keys.needed:
                self._keys.check(_authorization(context))
        except RequestError as error:
            await context.abort(_CODES[error.status], error.message)
        under_way: asyncio.Queue[asyncio.Task[Message] | None] = asyncio.Queue(_STREAM_CONCURRENCY)
        tasks: set[asyncio.Task[Message]] = set()

        async def read() -> None:
            async for request in requests:
                task = asyncio.get_running_loop().create_task(self._stream_answer(request, context))
                tasks.add(task)
                await under_way.put(task)
            await under_way.put(None)

        reader = asyncio.get_running_loop().create_task(read())
        try:
            while (task := await under_way.get()) is not None:
                yield await task
                tasks.discard(task)
        finally:
            reader.cancel()
            for task in tasks:
                task.cancel()
            if self._log.is_on:
                self._log.write("grpc", context.peer(), _STREAM_METHOD, "OK", start)

    async def _stream_answer(self, request: Message, context: Context) -> Message:
        if self._tracing is None:
            return await self._untraced_stream_answer(request)
        with self._span(_STREAM_METHOD, context) as span:
            response = await self._untraced_stream_answer(request)
            failed = bool(response.error_message)
            # The stream stays open, and the code that the request would have had alone is not sent.
            span.end((StatusCode.UNKNOWN if failed else StatusCode.OK).name, failed=failed)
            return response

    async def _untraced_stream_answer(self, request: Message) -> Message:
        response = self._stream_response()
        try:
            await self._infer(request, response.infer_response)
        except RequestError as error:
            response.error_message = error.message
            # As Triton does, so that the client knows which request failed.
            response.infer_response.id = request.id
        return response

    def _span(self, method: str, context: Context) -> AbstractContextManager[RequestSpan]:
        assert self._tracing is not None
        carried = {key: value for key, value in context.invocation_metadata() or () if key in PROPAGATED}
        name = f"{SERVICE}/{method}"
        return self._tracing.request(name, carried, {"rpc.system.name": "grpc", "rpc.method": name})

    @staticmethod
    def _is(check: Callable[[], None]) -> bool:
        try:
            check()
        except RequestError:
            return False
        return True


def _authorization(context: Context) -> str | bytes | None:
    return next((value for key, value in context.invocation_metadata() or () if key == "authorization"), None)


def _trailing(error: RequestError) -> tuple[tuple[str, str], ...]:
    return () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
