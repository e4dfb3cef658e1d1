"""The bounded queue in front of a model, from which batches are taken.

Work-conserving: a batch is taken as soon as the engine is free, of whatever waits by then. Requests share a
batch if their inputs agree in everything but the batch axis. Every batch contains the oldest request, so none
starves; the others of its kind join it in the order they came.

A batch under way takes one of the queue's places, so that an accepted request is answered after at most as many
runs as there are places, including the run that answers it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition
from time import monotonic, perf_counter_ns

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.observability.tracing import current_span
from dashdeploy.serve.settings import BatchPolicy

Signature = tuple[object, ...]


class Pending:
    """A request that waits for its results.

    Attributes:
        feeds: its inputs by name.
        rows: the length of the batch axis; 1 for a model that is not batched.
        signature: what must agree for two requests to share a batch; None if it is to run alone.
        future: gets the results, on the event loop that made this object.
        queued_at: when it came, on `monotonic`'s clock.
        queued_ns: the same moment on `perf_counter_ns`'s clock.
        span: the request's trace; None if it is not traced.
        timer: ends its waiting, or begins to watch its client; None before it waits.
        watch: watches its client; None if that is not needed.
    """

    __slots__ = (
        "feeds",
        "future",
        "loop",
        "queued_at",
        "queued_ns",
        "rows",
        "signature",
        "span",
        "timer",
        "watch",
    )

    def __init__(self, feeds: Mapping[str, Array], rows: int, signature: Signature | None) -> None:
        self.feeds = feeds
        self.rows = rows
        self.signature = signature
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[dict[str, Array]] = self.loop.create_future()
        self.span = current_span()
        self.timer: asyncio.TimerHandle | None = None
        self.watch: asyncio.Task[None] | None = None
        self.queued_at = monotonic()
        self.queued_ns = perf_counter_ns()

    def stop_waiting(self) -> None:
        """Cancel what was to happen if it waited for longer."""
        if self.timer is not None:
            self.timer.cancel()
        if self.watch is not None:
            self.watch.cancel()


class QueueFullError(Exception):
    """The queue holds as many requests as it may."""


class BatchQueue:
    """A thread-safe queue of `Pending` requests.

    Args:
        policy: how batches are formed, and the queue's bound.
        useful: the rows of batches that may be formed; None for any number up to the policy's. A request that has
            other rows runs, too, but not in company that does not make it one of these.
        clock: a monotonic clock in seconds; tests replace it.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        *,
        useful: frozenset[int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._policy = policy
        self._useful = useful
        self._max_rows = policy.max_rows if useful is None else max(useful)
        self._clock = clock
        self._waiting: deque[Pending] = deque()
        self._under_way = 0
        self._changed = Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether `put` would refuse."""
        return len(self._waiting) + self._under_way >= self._policy.queue_size

    def put(self, pending: Pending) -> None:
        """Append a request.

        Raises:
            QueueFullError: the queue is full.
        """
        with self._changed:
            if self.is_full:
                raise QueueFullError
            self._waiting.append(pending)
            self._changed.notify()

    def discard(self, pending: Pending) -> bool:
        """Remove a request that nobody waits for; False if it is not waiting any more."""
        with self._changed:
            try:
                self._waiting.remove(pending)
            except ValueError:
                return False
            return True

    def take(self) -> list[Pending] | None:
        """Wait for the next batch, which is under way until `done`; None once the queue is closed and empty."""
        with self._changed:
            while True:
                if self._waiting:
                    batch, wait = self._choose()
                    if batch:
                        self._remove(batch)
                        self._under_way += 1
                        return batch
                    self._changed.wait(wait)
                elif self._closed:
                    return None
                else:
                    self._changed.wait()

    def done(self) -> None:
        """Give back the place of a batch that was taken."""
        with self._changed:
            self._under_way -= 1

    def close(self) -> None:
        """Let `take` return None after what waits was taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _choose(self) -> tuple[list[Pending], float]:
        """The batch to run now, or none and the seconds until the oldest request has waited long enough."""
        oldest = self._waiting[0]
        if oldest.signature is None or oldest.rows >= self._max_rows:
            return [oldest], 0.0
        candidates: list[Pending] = []
        rows, full, useful_count, preferred_count = 0, False, 1, 0
        for pending in self._waiting:
            if pending.signature != oldest.signature:
                continue
            if rows + pending.rows > self._max_rows:
                full = True
                break
            candidates.append(pending)
            rows += pending.rows
            if self._useful is None or rows in self._useful:
                useful_count = len(candidates)
                if rows in self._policy.preferred:
                    preferred_count = len(candidates)
        if preferred_count:
            return candidates[:preferred_count], 0.0
        wait = oldest.queued_at + self._policy.delay - self._clock()
        if full or rows == self._max_rows or wait <= 0 or self._closed:
            return candidates[:useful_count], 0.0
        return [], wait

    def _remove(self, batch: list[Pending]) -> None:
        if len(batch) == 1:
            self._waiting.popleft()
            return
        taken = set(map(id, batch))
        self._waiting = deque(pending for pending in self._waiting if id(pending) not in taken)
