"""Prometheus metrics, computed from the models' statistics when they are scraped, so that requests pay nothing.

A metric that Triton has too bears Triton's name (``nv_inference_*``: microseconds, counters without ``_total``).
The others are named ``dashdeploy_*``: batch sizes, histograms of latency, reloads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dashdeploy.serve.observability.statistics import Duration, Histogram, ModelStatistics

CONTENT_TYPE = CONTENT_TYPE_LATEST

_DURATIONS = {
    "nv_inference_request_duration_us": ("success", "Microseconds from arrival to results"),
    "nv_inference_queue_duration_us": ("queue", "Microseconds in the queue"),
    "nv_inference_compute_input_duration_us": ("compute_input", "Microseconds spent on gathering inputs"),
    "nv_inference_compute_infer_duration_us": ("compute_infer", "Microseconds spent in the engine"),
    "nv_inference_compute_output_duration_us": ("compute_output", "Microseconds spent on splitting outputs"),
}
_HISTOGRAMS = {
    "dashdeploy_request_duration_seconds": ("latency", "Seconds from arrival to results"),
    "dashdeploy_queue_duration_seconds": ("queue_wait", "Seconds in the queue"),
    "dashdeploy_batch_size": ("batch_rows", "Rows per run of the engine"),
}
_COUNTS = {
    "nv_inference_count": ("inference_count", "Rows that were inferred"),
    "nv_inference_exec_count": ("execution_count", "Runs of the engine"),
}


class _Model(Protocol):
    """What the metrics read of a served model."""

    name: str
    version: str
    statistics: ModelStatistics
    broken: bool

    @property
    def states(self) -> Mapping[str, str]: ...

    @property
    def waiting(self) -> int: ...


class _BundleSlot(Protocol):
    """What the metrics read of a bundle's slot."""

    name: str
    reloads: int
    failures: int


class _Sequences(Protocol):
    """What the metrics read of the live sequences."""

    expired: Counter[str]

    def counts(self) -> Counter[tuple[str, str]]: ...

    def waiting(self, name: str, version: str) -> int: ...


class _Repository(Protocol):
    """What the metrics read of the repository, which itself counts with `statistics`."""

    @property
    def bundle_slots(self) -> Sequence[_BundleSlot]: ...

    @property
    def sequences(self) -> _Sequences: ...

    def __iter__(self) -> Iterator[_Model]: ...


class ServerMetrics(Collector):
    """All metrics of a server.

    Args:
        repository: the models, a `ModelRepository`.
    """

    def __init__(self, repository: _Repository) -> None:
        self._repository = repository
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known only with the models."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every metric with its current values."""
        models = [(self._labels(model), model) for model in self._repository]
        statistics = [(labels, model.statistics) for labels, model in models]
        yield from self._requests(statistics)
        # The type is left open because Prometheus' counters end in _total and Triton's names do not.
        for name, (attribute, text) in _COUNTS.items():
            metric = Metric(name, text, "unknown")
            for labels, counted in statistics:
                metric.add_sample(name, labels, getattr(counted, attribute))
            yield metric
        for name, (attribute, text) in _DURATIONS.items():
            metric = Metric(name, f"{text}, summed over requests", "unknown")
            for labels, counted in statistics:
                duration: Duration = getattr(counted, attribute)
                metric.add_sample(name, labels, duration.ns // 1000)
            yield metric
        for name, (attribute, text) in _HISTOGRAMS.items():
            metric = Metric(name, text, "histogram")
            for labels, counted in statistics:
                _add_histogram(metric, name, labels, getattr(counted, attribute))
            yield metric
        yield from self._states(models)

    @staticmethod
    def _requests(statistics: list[tuple[dict[str, str], ModelStatistics]]) -> Iterator[Metric]:
        success = Metric("nv_inference_request_success", "Requests that were answered", "unknown")
        failure = Metric("nv_inference_request_failure", "Requests that failed, by reason", "unknown")
        for labels, counted in statistics:
            success.add_sample(success.name, labels, counted.success.count)
            for reason, failed in counted.failures.items():
                failure.add_sample(failure.name, labels | {"reason": reason}, failed.count)
        yield success
        yield failure

    def _states(self, models: list[tuple[dict[str, str], _Model]]) -> Iterator[Metric]:
        pending = Metric("nv_inference_pending_request_count", "Requests that wait in the queue", "gauge")
        ready = Metric("dashdeploy_model_ready", "1 if the model takes requests", "gauge")
        for labels, model in models:
            waiting = model.waiting + self._repository.sequences.waiting(model.name, model.version)
            pending.add_sample(pending.name, labels, waiting)
            ready.add_sample(ready.name, labels, 0 if model.broken else 1)
        yield pending
        yield ready
        reloads = Metric("dashdeploy_model_reloads", "New bundles that took an old one's place", "counter")
        failures = Metric("dashdeploy_model_load_failures", "Bundles that did not load", "counter")
        for name in sorted({slot.name for slot in self._repository.bundle_slots}):
            slots = [slot for slot in self._repository.bundle_slots if slot.name == name]
            labels = {"model": name}
            reloads.add_sample(f"{reloads.name}_total", labels, sum(slot.reloads for slot in slots))
            failures.add_sample(f"{failures.name}_total", labels, sum(slot.failures for slot in slots))
        yield reloads
        yield failures
        yield from self._sequences(models)

    def _sequences(self, models: list[tuple[dict[str, str], _Model]]) -> Iterator[Metric]:
        sequences = self._repository.sequences
        live = Metric("dashdeploy_live_sequences", "Sequences whose states are kept", "gauge")
        expired = Metric("dashdeploy_sequences_expired", "Sequences that were idle for too long", "counter")
        stateful = {(model.name, model.version): 0 for _, model in models if model.states}
        # Also of versions that are loaded for their sequences alone.
        for (name, version), count in {**stateful, **sequences.counts()}.items():
            live.add_sample(live.name, {"model": name, "version": version}, count)
        for name in sorted({name for name, _ in stateful} | set(sequences.expired)):
            expired.add_sample(f"{expired.name}_total", {"model": name}, sequences.expired[name])
        yield live
        yield expired

    @staticmethod
    def _labels(model: _Model) -> dict[str, str]:
        return {"model": model.name, "version": model.version}


def _add_histogram(metric: Metric, name: str, labels: dict[str, str], histogram: Histogram) -> None:
    total = 0
    for bound, count in zip([*histogram.bounds, float("inf")], histogram.counts, strict=True):
        total += count
        shown = "+Inf" if bound == float("inf") else f"{bound:g}"
        metric.add_sample(f"{name}_bucket", labels | {"le": shown}, total)
    metric.add_sample(f"{name}_count", labels, total)
    metric.add_sample(f"{name}_sum", labels, histogram.sum)
