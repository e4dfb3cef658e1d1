"""A model's engine: threads that take batches from a queue, run them, and give each request its rows.

A lone request of a quick model runs inline instead: see `inline_execution`.

A batch that fails is run again request by request, so that only the request at fault fails. After a failure
of a single request the engine runs the input of its warm-up. If that fails as well, the engine itself is broken,
and the callback `on_broken` is called.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from threading import Thread, get_ident
from time import perf_counter_ns

import numpy as np

from dashdeploy.errors import first_line
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.serve.observability.statistics import BatchTimes, ModelStatistics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.scheduling.batch_queue import BatchQueue, Pending, QueueFullError, Signature
from dashdeploy.serve.scheduling.inline_execution import InlineExecution, Shapes
from dashdeploy.serve.settings import BatchPolicy

_LOG = logging.getLogger(__name__)

_SOURCE = re.compile(
    r"\S*/[\w./-]+\.(?:cc|cpp|h|hpp)(?::\d+)?(?: (?:[\w:<>&*]+ )*[\w:~<>]+\([^)]*\)(?: const)?)?\s*"
)
"""A place in an engine's source: its file, perhaps a line, and the signature behind it."""

_UNWATCHED_SECONDS = 0.02
"""A task that watches a client costs more than many a run; a request that is quicker needs none."""

_LARGEST_PROBE = 1024 * 1024
"""The most bytes of a request that are kept to try the engine with."""

Gone = Callable[[], Awaitable[None]]

Outcome = dict[str, Array] | RequestError


class Engine:
    """Runs one loaded model for many requests.

    Args:
        runtime: the loaded model.
        name: the model's name, for the messages.
        policy: how requests are batched.
        batched: whether the model's first axis is a batch axis.
        instances: how many runs may be under way at once.
        useful: the rows of batches that may be formed; None for any, see `BatchQueue`.
        statistics: counts the requests and runs.
        probe: inputs that the model is known to run on, to tell a broken engine from a bad request; None if
            there are none. Then those of the first request that succeeds are kept for it.
        on_broken: called on the event loop when the engine fails even on `probe`.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str,
        policy: BatchPolicy,
        batched: bool,
        instances: int,
        statistics: ModelStatistics,
        useful: frozenset[int] | None = None,
        probe: Mapping[str, Array] | None = None,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._name = name
        self._batched = batched and policy.max_rows > 1
        self._queue = BatchQueue(policy, useful=useful)
        self._statistics = statistics
        self._probe = probe
        self._on_broken = on_broken
        self._running: set[int] = set()  # of threads
        self._present = 0
        self._inline = InlineExecution()
        self._threads = [
            Thread(target=self._work, name=f"engine-{name}-{i}", daemon=True) for i in range(instances)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait in the queue."""
        return len(self._queue)

    def check_room(self) -> None:
        """Refuse a request now that would be refused after it was decoded.

        Raises:
            RequestError: 503, the queue is full.
        """
        if self._queue.is_full:
            raise self.refusal()

    async def infer(
        self,
        feeds: Mapping[str, Array],
        *,
        timeout: float,
        gone: Gone | None = None,
        since_ns: int | None = None,
    ) -> dict[str, Array]:
        """Queue a request and wait for its results; cancelling it takes it out of the queue.

        Args:
            feeds: one array per input, checked against the model.
            timeout: the most seconds until the results are there.
            gone: returns when the client has gone; awaited only if the request has to wait.
            since_ns: when it came, on `perf_counter_ns`'s clock, if it waited elsewhere before; None for now.

        Returns:
            One array per output; arrays may be views of a batch's.

        Raises:
            RequestError: 503 if the queue is full or `timeout` passed in it, 504 if it passed during the run,
                499 if the client went away, 500 if the engine failed.
        """
        self._present += 1
        try:
            if self._inline.expect_quick(_shapes(feeds)):
                await asyncio.sleep(0)  # lets every request that has arrived by now come as far as here
                if self._present == 1 and not self._running:
                    return await self._infer_inline(self._pending(feeds, since_ns))
            return await self._infer_queued(self._pending(feeds, since_ns), timeout=timeout, gone=gone)
        finally:
            self._present -= 1

    async def _infer_inline(self, pending: Pending) -> dict[str, Array]:
        """Run a lone request of a quick model on this thread; see `inline_execution`."""
        self._execute([pending], on_loop=True)
        return await pending.future

    async def _infer_queued(self, pending: Pending, *, timeout: float, gone: Gone | None) -> dict[str, Array]:
        busy = len(self._running) >= len(self._threads)
        try:
            self._queue.put(pending)
        except QueueFullError:
            raise self.refusal() from None
        # A run that has begun cannot be stopped, so only a request that waits watches its client.
        self._wait(pending, timeout, gone if busy else None)
        try:
            return await pending.future
        except asyncio.CancelledError:
            self._queue.discard(pending)
            self._statistics.count_failure("CANCELED", perf_counter_ns() - pending.queued_ns)
            raise
        finally:
            pending.stop_waiting()

    def _wait(self, pending: Pending, left: float, gone: Gone | None) -> None:
        """Let the request expire after `left` seconds, and watch its client where it waits for longer."""
        unwatched = left if gone is None else min(left, _UNWATCHED_SECONDS)
        pending.timer = pending.loop.call_later(unwatched, self._overdue, pending, left - unwatched, gone)

    def _overdue(self, pending: Pending, left: float, gone: Gone | None) -> None:
        if left <= 0 or gone is None:
            self._expire(pending)
            return
        pending.watch = pending.loop.create_task(self._give_up(pending, gone))
        pending.timer = pending.loop.call_later(left, self._expire, pending)

    def close(self) -> None:
        """Let the threads end once the queue is empty; requests must not come any more."""
        self._queue.close()

    def refusal(self) -> RequestError:
        """The answer to a request for which the queue has no place; it is counted."""
        self._statistics.count_failure("REJECTED")
        return RequestError(503, f"the queue of model '{self._name}' is full; try again", retry_after=1)

    def _pending(self, feeds: Mapping[str, Array], since_ns: int | None) -> Pending:
        lengths = {array.shape[0] for array in feeds.values()} if self._batched else set()
        signature: Signature | None = None
        # Where lengths differ, the model decides what that means; alone it hurts nobody.
        if len(lengths) == 1:
            signature = tuple((name, feeds[name].shape[1:]) for name in sorted(feeds))
        pending = Pending(feeds, lengths.pop() if signature else 1, signature)
        if since_ns is not None:
            pending.queued_ns = since_ns
        return pending

    async def _give_up(self, pending: Pending, gone: Gone) -> None:
        await gone()
        self._queue.discard(pending)
        if not pending.future.done():
            self._statistics.count_failure("CANCELED", perf_counter_ns() - pending.queued_ns)
            pending.future.set_exception(RequestError(499, "the client closed its connection"))

    def _expire(self, pending: Pending) -> None:
        waited = self._queue.discard(pending)
        if pending.future.done():
            return
        self._statistics.count_failure("OTHER", perf_counter_ns() - pending.queued_ns)
        if waited:
            error = RequestError(503, f"request timeout expired in the queue of model '{self._name}'")
        else:
            error = RequestError(504, f"request timeout expired while model '{self._name}' ran")
        pending.future.set_exception(error)

    def _work(self) -> None:
        while (batch := self._queue.take()) is not None:
            self._running.add(get_ident())
            self._execute(batch)
            self._running.discard(get_ident())
            self._queue.done()

    def _execute(self, batch: list[Pending], *, on_loop: bool = False) -> None:
        start = perf_counter_ns()
        try:
            feeds = _joined(batch)
            joined = perf_counter_ns()
            results = self._runtime.run(feeds)
            ran = perf_counter_ns()
            outcomes: list[Outcome] = list(_split(results, batch))
        except Exception as error:  # every engine raises other classes
            if len(batch) > 1:
                _LOG.warning(
                    "model %s: a batch of %d requests failed, each is run alone", self._name, len(batch)
                )
                for pending in batch:
                    self._execute([pending])
                return
            failed: Outcome = self._failure(error, batch[0])
            self._post(batch, start, [failed], None, on_loop=on_loop)
            return
        if self._probe is None and len(batch) == 1:
            self._keep_as_probe(feeds)
        rows = sum(pending.rows for pending in batch)
        times = BatchTimes(rows, joined - start, ran - joined, perf_counter_ns() - ran)
        self._post(batch, start, outcomes, times, on_loop=on_loop)

    def _post(
        self,
        batch: list[Pending],
        start: int,
        outcomes: list[Outcome],
        times: BatchTimes | None,
        *,
        on_loop: bool,
    ) -> None:
        if times is not None and len(batch) == 1:
            self._inline.note(_shapes(batch[0].feeds), times.infer_ns, on_loop=on_loop)
        if on_loop:
            self._deliver(batch, start, outcomes, times)
            return
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            batch[0].loop.call_soon_threadsafe(self._deliver, batch, start, outcomes, times)

    def _deliver(
        self, batch: list[Pending], start: int, outcomes: list[Outcome], times: BatchTimes | None
    ) -> None:
        now = perf_counter_ns()
        if times is not None:
            answered = [pending.queued_ns for pending in batch if not pending.future.done()]
            self._statistics.count_run(
                times, [start - queued for queued in answered], [now - queued for queued in answered]
            )
        for pending, outcome in zip(batch, outcomes, strict=True):
            if pending.future.done():  # given up or timed out meanwhile
                continue
            if pending.span is not None and times is not None:
                pending.span.ran(self._name, pending.queued_ns, start, times)
            if isinstance(outcome, RequestError):
                self._statistics.count_failure("BACKEND", now - pending.queued_ns)
                pending.future.set_exception(outcome)
            else:
                pending.future.set_result(outcome)

    def _failure(self, error: Exception, pending: Pending) -> RequestError:
        """Whose fault a lone request's failure is: the client's, if the model runs on what it was warmed up with.

        Engines raise the same classes for an index that is out of range and for a device that is gone. The engine's
        own text goes to the log, since it names source files.
        """
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, MemoryError) or "alloc" in reason or not self._still_runs(pending):
            return RequestError(500, f"model '{self._name}' failed: {_without_source(first_line(error))}")
        _LOG.info("model %s cannot run a request: %s", self._name, reason)
        shapes = ", ".join(f"'{name}' {list(array.shape)}" for name, array in pending.feeds.items())
        return RequestError(
            400,
            f"model '{self._name}' cannot run these shapes or values: {shapes}; {_without_source(reason)}",
        )

    def _keep_as_probe(self, feeds: Mapping[str, Array]) -> None:
        if sum(array.nbytes for array in feeds.values()) <= _LARGEST_PROBE:
            self._probe = {name: array.copy() for name, array in feeds.items()}

    def _still_runs(self, pending: Pending) -> bool:
        """Whether the model runs on its probe; without one it cannot be told. Says so where the engine is broken."""
        if self._probe is None:
            return False
        try:
            self._runtime.run(self._probe)
        except Exception as error:
            _LOG.error("model %s: the engine is broken: %s", self._name, " ".join(str(error).split())[:300])
            if self._on_broken is not None:
                with suppress(RuntimeError):
                    pending.loop.call_soon_threadsafe(self._on_broken)
            return False
        return True


def _without_source(reason: str) -> str:
    """An engine's message without the files and functions of its own source."""
    return _SOURCE.sub("", reason).strip() or reason


def _shapes(feeds: Mapping[str, Array]) -> Shapes:
    return tuple(array.shape for array in feeds.values())


def _joined(batch: list[Pending]) -> Mapping[str, Array]:
    if len(batch) == 1:
        return batch[0].feeds
    return {name: np.concatenate([pending.feeds[name] for pending in batch]) for name in batch[0].feeds}


def _split(results: dict[str, Array], batch: list[Pending]) -> list[dict[str, Array]]:
    """Each request's rows of the results, as views.

    Raises:
        ValueError: an output has not one row per row of the inputs.
    """
    if len(batch) == 1:
        return [results]
    rows = sum(pending.rows for pending in batch)
    for name, array in results.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise ValueError(f"output {name} has shape {array.shape}, not {rows} rows")
    shares: list[dict[str, Array]] = []
    start = 0
    for pending in batch:
        end = start + pending.rows
        shares.append({name: array[start:end] for name, array in results.items()})
        start = end
    return shares
