"""What answers LoadGen's queries: a bundle in this process, or a server over HTTP."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.serve.http_load import http_request
from dashdeploy.bench.serve.raw_http import RawHttpConnection
from dashdeploy.errors import DashdeployError, InputError
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.runtimes.engines import load_engine
from dashdeploy.runtimes.example_inputs import ExampleInputs

SAMPLES = 64
_TIMEOUT = 60.0
_CONNECTIONS = 8
_SEED = 0

Query = tuple[int, int]
"""LoadGen's id of a query, and the index of its sample."""

Done = Callable[[Sequence[int]], None]


class Target(Protocol):
    """What answers.

    Attributes:
        samples: how many different inputs there are.
    """

    samples: int

    def answer_one(self, index: int) -> None:
        """Answer one sample."""
        ...

    def answer_all(self, indices: Sequence[int]) -> None:
        """Answer many samples, in whichever order is quickest."""
        ...

    def issue(self, queries: Sequence[Query], done: Done, failed: Callable[[Exception], None]) -> None:
        """Answer queries and tell `done` their ids, now or later."""
        ...

    def describe(self) -> str:
        """Who answers, in one line."""
        ...

    def close(self) -> None:
        """Give back what was taken."""
        ...


def sample_feeds(bundle: Bundle) -> list[dict[str, Array]]:
    """`SAMPLES` random inputs of a batch of one, as long as the model needs them."""
    examples, generator = example_inputs(bundle), np.random.default_rng(_SEED)
    return [examples.feeds(1, generator) for _ in range(SAMPLES)]


def example_inputs(bundle: Bundle) -> ExampleInputs:
    """Inputs of the bundle's model, which is loaded here only if it has lengths that must be found."""
    runtimes: list[Runtime] = []

    def run(feeds: Mapping[str, Array]) -> object:
        if not runtimes:
            runtimes.append(load_engine(bundle, None, threads=1))
        return runtimes[0].run(feeds)

    return ExampleInputs.of(run, bundle.manifest.inputs)


class InProcess:
    """A bundle in this process.

    Args:
        bundle: the bundle.
        engine: what runs it; None takes what it was made for.
        threads: threads within one operator.
        batch: the most samples of one call.
    """

    def __init__(self, bundle: Bundle, engine: str | None, threads: int, *, batch: int) -> None:
        self._runtime = load_engine(bundle, engine, threads=threads)
        self._feeds = sample_feeds(bundle)
        self._batch = batch if all(isinstance(s.shape[0], str) for s in bundle.manifest.inputs) else 1
        self.samples = SAMPLES

    def answer_one(self, index: int) -> None:
        """See `Target`."""
        self._runtime.run(self._feeds[index % SAMPLES])

    def answer_all(self, indices: Sequence[int]) -> None:
        """See `Target`."""
        for start in range(0, len(indices), self._batch):
            feeds = [self._feeds[index % SAMPLES] for index in indices[start : start + self._batch]]
            self._runtime.run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})

    def issue(self, queries: Sequence[Query], done: Done, failed: Callable[[Exception], None]) -> None:
        """See `Target`."""
        for start in range(0, len(queries), self._batch):
            part = queries[start : start + self._batch]
            try:
                self.answer_all([index for _, index in part])
            except Exception as error:
                failed(error)
            done([each for each, _ in part])

    def describe(self) -> str:
        """See `Target`."""
        return self._runtime.describe()

    def close(self) -> None:
        """See `Target`."""


class OverHttp:
    """A running server, asked over HTTP with binary tensors by several connections.

    Args:
        bundle: tells the model's name and inputs.
        url: ``http://HOST:PORT``.

    Raises:
        InputError: the URL is not one, or the server does not answer or does not know the model.
    """

    def __init__(self, bundle: Bundle, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port or 80
        except ValueError as error:
            raise InputError(f"`url={url}`: {error}; write http://HOST:PORT") from error
        if parts.scheme != "http" or not parts.hostname:
            raise InputError(f"`url={url}`: is not http://HOST:PORT")
        self._url = url
        self._address = f"{parts.hostname}:{port}"
        path = f"/v2/models/{bundle.manifest.name}/infer"
        self._requests = [infer_request(self._address, path, feeds) for feeds in sample_feeds(bundle)]
        self.samples = SAMPLES
        self._queries: queue.SimpleQueue[tuple[Query, Done, Callable[[Exception], None]] | None] = (
            queue.SimpleQueue()
        )
        self._connection = self._connect()
        self._workers = [
            threading.Thread(target=self._work, args=(self._connect(),), daemon=True)
            for _ in range(_CONNECTIONS)
        ]
        for worker in self._workers:
            worker.start()

    def _connect(self) -> RawHttpConnection:
        try:
            return RawHttpConnection(self._address, timeout=_TIMEOUT)
        except OSError as error:
            raise InputError(
                f"`url={self._url}`: no server answers there ({error}); start one with: `serve('BUNDLE')`"
            ) from error

    def _work(self, connection: RawHttpConnection) -> None:
        while (item := self._queries.get()) is not None:
            (identifier, index), done, failed = item
            try:
                connection.exchange(self._requests[index % SAMPLES])
            except (OSError, ValueError, DashdeployError) as error:
                failed(self._explained(error))
            done([identifier])

    def _explained(self, error: Exception) -> InputError:
        return InputError(f"`url={self._url}`: {error}")

    def answer_one(self, index: int) -> None:
        """See `Target`."""
        try:
            self._connection.exchange(self._requests[index % SAMPLES])
        except (OSError, ValueError, DashdeployError) as error:
            raise self._explained(error) from error

    def answer_all(self, indices: Sequence[int]) -> None:
        """See `Target`."""
        finished = threading.Semaphore(0)
        failures: list[Exception] = []
        self.issue([(0, index) for index in indices], lambda _ids: finished.release(), failures.append)
        for _ in indices:
            finished.acquire()
        if failures:
            raise failures[0]

    def issue(self, queries: Sequence[Query], done: Done, failed: Callable[[Exception], None]) -> None:
        """See `Target`."""
        for query in queries:
            self._queries.put((query, done, failed))

    def describe(self) -> str:
        """See `Target`."""
        return f"the server at {self._url}, {_CONNECTIONS} connections"

    def close(self) -> None:
        """See `Target`."""
        for _ in self._workers:
            self._queries.put(None)


def infer_request(address: str, path: str, feeds: dict[str, Array]) -> bytes:
    """A request of the Open Inference Protocol with binary tensors."""
    from dashdeploy.serve.protocol.tensor_data import datatype_of, to_raw

    blobs = {name: bytes(to_raw(array)) for name, array in feeds.items()}
    inputs = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatype_of(array),
            "parameters": {"binary_data_size": len(blobs[name])},
        }
        for name, array in feeds.items()
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    return http_request(address, path, header + b"".join(blobs.values()), length)
