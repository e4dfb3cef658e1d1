"""Runs a batch in pieces: of a size whose values stay in the caches, and side by side where there are threads.

The spectra of a compiled model are several times as large as what its convolutions read, so a large batch falls out
of a cache that a sample alone fits. And where a few threads share every operator of a whole batch, they wait for each
other behind each of hundreds of small ones; threads that have a piece each wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from threading import Lock

import numpy as np

from dashdeploy.machine import physical_cores
from dashdeploy.runtimes.base import Array, Runtime

_BALANCED = 0.75
"""The share of the threads' time that pieces must fill; of fewer samples, the threads share every operator."""

Feeds = dict[str, Array]


class InPieces:
    """A model whose batches run in pieces. The first axis of all its inputs and outputs must be the batch.

    Args:
        load: makes the runtime with so many threads within one operator, None being the engine's choice.
        piece: samples at once, of one thread.
        threads: that a call may use; None takes one for each core.
    """

    def __init__(self, load: Callable[[int | None], Runtime], piece: int, threads: int | None = None) -> None:
        self._load, self._piece = load, piece
        self._threads = physical_cores() if threads is None else threads
        self._runtime = load(threads)
        self._single: Runtime | None = self._runtime if self._threads == 1 else None
        self._pool = ThreadPoolExecutor(self._threads, "dashdeploy-piece") if self._threads > 1 else None
        self._loading = Lock()
        self.inputs, self.outputs = self._runtime.inputs, self._runtime.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`."""
        sizes = {len(array) if np.ndim(array) else 0 for array in feeds.values()}
        count = pieces_of(sizes.pop(), self._piece, self._threads) if len(sizes) == 1 else 1
        if count == 1:
            return self._runtime.run(feeds)
        single = self._on_one_thread()
        cut = {name: np.array_split(array, count) for name, array in feeds.items()}
        parts: list[Feeds] = [{name: arrays[index] for name, arrays in cut.items()} for index in range(count)]
        done = list(map(single.run, parts) if self._pool is None else self._pool.map(single.run, parts))
        return {name: np.concatenate([part[name] for part in done]) for name in done[0]}

    def describe(self) -> str:
        """The engine, and the size of the pieces, in one line."""
        return f"{self._runtime.describe()}, batches in pieces of {self._piece}"

    def _on_one_thread(self) -> Runtime:
        """The model that runs pieces: a second copy where the first one has several threads, once it is needed."""
        with self._loading:
            if self._single is None:
                self._single = self._load(1)
            return self._single


def pieces_of(samples: int, piece: int, threads: int) -> int:
    """In how many pieces a batch runs; 1 is as a whole.

    Args:
        samples: of the batch.
        piece: the most samples of a piece.
        threads: that pieces can have.
    """
    if samples <= 1:
        return 1
    if samples < _BALANCED * threads * ceil(samples / threads):
        return 1
    return min(samples, threads * ceil(samples / (piece * threads)))
