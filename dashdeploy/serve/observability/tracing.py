"""OpenTelemetry traces: a span per request, and in it the wait in the queue and the engine's run.

Only the packages of the ``otel`` extra are used, and only if an endpoint is given. A background thread sends the
spans in batches, so a collector that is slow or away costs the requests nothing. A client's ``traceparent`` (W3C
Trace Context) is continued. Sampling follows the environment: ``OTEL_TRACES_SAMPLER``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from dashdeploy.serve.observability.statistics import BatchTimes

_EXPORT_SECONDS = 5.0
_FLUSH_SECONDS = 3.0
"""The most seconds for the last spans after the drain; a collector that is away must not delay the exit."""

PROPAGATED = ("traceparent", "tracestate")
"""The headers, and keys of gRPC metadata, by which a client's trace is continued."""


class RequestSpan:
    """The span of one request.

    Args:
        span: the span.
        tracer: makes those within it.
    """

    def __init__(self, span: Span, tracer: Tracer) -> None:
        self._span = span
        self._tracer = tracer

    def end(self, status: int | str, *, failed: bool, name: str | None = None) -> None:
        """Note how the request ended.

        Args:
            status: of HTTP, or the name of gRPC's.
            failed: whether that is the server's fault.
            name: a better name than the first one.
        """
        from opentelemetry.trace import StatusCode

        key = "http.response.status_code" if isinstance(status, int) else "rpc.response.status_code"
        self._span.set_attribute(key, status)
        if name is not None:
            self._span.update_name(name)
        if failed:
            self._span.set_status(StatusCode.ERROR)

    def ran(self, model: str, queued_ns: int, start_ns: int, times: BatchTimes) -> None:
        """Add the wait and the run.

        Args:
            model: the model's name.
            queued_ns: when the request was queued, on `perf_counter_ns`'s clock.
            start_ns: when its batch was taken.
            times: of the batch.
        """
        from opentelemetry.trace import set_span_in_context

        within = set_span_in_context(self._span)
        shift = time_ns() - perf_counter_ns()
        end_ns = start_ns + times.input_ns + times.infer_ns + times.output_ns
        attributes: dict[str, str | int] = {"dashdeploy.model": model}
        queue = self._tracer.start_span("queue", within, attributes=attributes, start_time=queued_ns + shift)
        queue.end(start_ns + shift)
        attributes["dashdeploy.batch.rows"] = times.rows
        run = self._tracer.start_span("run", within, attributes=attributes, start_time=start_ns + shift)
        run.end(end_ns + shift)


_CURRENT: ContextVar[RequestSpan | None] = ContextVar("dashdeploy_request_span", default=None)


def current_span() -> RequestSpan | None:
    """The span of the request that this code works for; None if it is not traced."""
    return _CURRENT.get()


class Tracing:
    """Makes the spans of requests and sends them.

    Args:
        endpoint: the URL of a collector that takes OTLP over HTTP, such as ``http://127.0.0.1:4318``.

    Raises:
        InputError: that is not a URL of HTTP.
        MissingCapabilityError: the ``otel`` extra is not installed.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"`traces={endpoint}`: not a collector's URL; write it as http://127.0.0.1:4318")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingCapabilityError(
                f"{error.name} is not installed; `traces` needs it: pip install 'dashdeploy[otel]'"
            ) from error
        named = {"service.version": __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            named["service.name"] = "dashdeploy"
        url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create(named), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(url, timeout=_EXPORT_SECONDS), schedule_delay_millis=1000)
        )
        self._tracer = self._provider.get_tracer("dashdeploy.serve", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(
        self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]
    ) -> Iterator[RequestSpan]:
        """The span of one request, which code within it finds by `current_span`.

        Args:
            name: the span's name.
            headers: those of `PROPAGATED` that came with it.
            attributes: in the names of OpenTelemetry's semantic conventions.
        """
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers) if headers else None
        span = self._tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes=dict(attributes))
        ours = RequestSpan(span, self._tracer)
        token = _CURRENT.set(ours)
        try:
            yield ours
        finally:
            _CURRENT.reset(token)
            span.end()

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)
