"""The counts of one version of a model, in the terms of Triton's statistics extension.

Everything here is changed by the event loop's thread alone, so nothing is locked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time_ns

LATENCY_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency histogram's buckets, in seconds."""

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the batch size histogram's buckets, in rows."""


@dataclass
class Duration:
    """How often something happened, and for how long in all (nanoseconds)."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """Count it `count` times, with `ns` nanoseconds in all."""
        self.count += count
        self.ns += ns


class Histogram:
    """Counts per bucket, the sum, and the count of everything.

    Args:
        bounds: the buckets' upper bounds, ascending; a last bucket holds what is above all of them.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(frozen=True)
class BatchTimes:
    """One run of the engine: its rows, and the nanoseconds spent on input, inference and output."""

    rows: int
    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass
class BatchDurations:
    """The runs of one batch size."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


FAILURE_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
"""Triton's reasons for a failed request: refused by the queue, given up by the client, engine, anything else."""


class ModelStatistics:
    """The counts of one version of one model since the server began.

    Attributes:
        success: answered requests, from their arrival in the queue to their results.
        failures: the other requests, by reason.
        queue: waits of the answered requests in the queue.
        compute_input: gathering inputs; per request, as are the next two, so a batch's time counts for each.
        compute_infer: runs of the engine.
        compute_output: splitting outputs.
        inference_count: rows answered.
        execution_count: runs of the engine.
        last_inference_ms: when the last run ended, in milliseconds since 1970; 0 for never.
        batches: the runs by their rows.
        latency: of answered requests, in seconds.
        queue_wait: of answered requests, in seconds.
        batch_rows: rows per run.
    """

    def __init__(self) -> None:
        self.success = Duration()
        self.failures = {reason: Duration() for reason in FAILURE_REASONS}
        self.queue = Duration()
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0
        self.batches: dict[int, BatchDurations] = {}
        self.latency = Histogram(LATENCY_BOUNDS)
        self.queue_wait = Histogram(LATENCY_BOUNDS)
        self.batch_rows = Histogram(BATCH_BOUNDS)

    def count_run(self, times: BatchTimes, queue_ns: Sequence[int], total_ns: Sequence[int]) -> None:
        """Count a run that succeeded.

        Args:
            times: of the run.
            queue_ns: how long each of its requests waited.
            total_ns: how long each took from arrival to results.
        """
        requests = len(queue_ns)
        self.inference_count += times.rows
        self.execution_count += 1
        self.last_inference_ms = time_ns() // 1_000_000
        self.success.add(sum(total_ns), requests)
        self.queue.add(sum(queue_ns), requests)
        self.compute_input.add(times.input_ns * requests, requests)
        self.compute_infer.add(times.infer_ns * requests, requests)
        self.compute_output.add(times.output_ns * requests, requests)
        of_size = self.batches.setdefault(times.rows, BatchDurations())
        of_size.compute_input.add(times.input_ns)
        of_size.compute_infer.add(times.infer_ns)
        of_size.compute_output.add(times.output_ns)
        self.batch_rows.observe(times.rows)
        for waited, took in zip(queue_ns, total_ns, strict=True):
            self.queue_wait.observe(waited * 1e-9)
            self.latency.observe(took * 1e-9)

    def count_failure(self, reason: str, ns: int = 0) -> None:
        """Count a request that got no result; `ns` is how long it was here."""
        self.failures[reason].add(ns)
