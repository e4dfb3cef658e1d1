"""The settings of a server: addresses, batching, limits, access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import EngineName

MEBIBYTE = 1024 * 1024

DEFAULT_BODY_LIMIT = 64 * MEBIBYTE
"""The most bytes of a request, as Triton's ``--http-max-input-size`` has it."""


LONGEST_DELAY = 10.0
"""The most seconds that a request may wait for others to share its batch."""


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """How requests are batched.

    Attributes:
        max_rows: the most rows of a batch; 1 turns batching off. A request of more rows runs alone.
        preferred: row counts at which a batch runs without waiting for `delay`, ascending.
        delay: the most seconds that the oldest request waits for others, at most 10; 0 runs it as soon as the engine
            is idle, so that batches form only from the requests that came while the engine was busy.
        measure: measure what a sample costs by the batch when a model is loaded, and form no batch in which it costs
            more than in a smaller one.
        queue_size: the places in one model's queue. Each waiting request takes one, and so does each batch under way;
            further requests are refused.

    Raises:
        InputError: a value is out of range, or a preferred batch is larger than `max_rows`.
    """

    max_rows: int = 32
    preferred: tuple[int, ...] = ()
    delay: float = 0.0
    queue_size: int = 256
    measure: bool = True

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise InputError(f"`max_rows={self.max_rows}`: use 1 (no batching) or more")
        if self.queue_size < 1:
            raise InputError(f"`queue_size={self.queue_size}`: use 1 or more")
        if not 0 <= self.delay <= LONGEST_DELAY:
            raise InputError(f"`delay={self.delay:g}`: use 0 to {LONGEST_DELAY:g} seconds")
        if any(rows > self.max_rows for rows in self.preferred):
            raise InputError(
                f"`preferred={','.join(map(str, self.preferred))}`: larger than `max_rows={self.max_rows}`; "
                "raise `max_rows`"
            )


EVERY_MODEL = ""
"""The key of the version policy of the models that have none of their own."""


@dataclass(frozen=True, kw_only=True)
class VersionPolicy:
    """Which versions of a model are served; all of them if neither field is set.

    Attributes:
        latest: as many, the highest first.
        specific: these, as far as they are there.

    Raises:
        InputError: both are set, or a number is below 1.
    """

    latest: int | None = None
    specific: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.latest is not None and self.specific:
            raise InputError("`version_policies`: either the latest versions or specific ones")
        if any(number < 1 for number in (1 if self.latest is None else self.latest, *self.specific)):
            raise InputError("`version_policies`: use numbers from 1 up")

    def select(self, versions: Sequence[int]) -> set[int]:
        """Those of `versions` that are served."""
        if self.specific:
            return set(self.specific).intersection(versions)
        return set(sorted(versions, reverse=True)[: self.latest])


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """All settings of a server.

    Example:
        ::

            settings = dashdeploy.ServeSettings(http_port=0, request_timeout=5)
            dashdeploy.serve("bundle", settings=settings)

    Attributes:
        host: the address to listen on.
        http_port: the port of HTTP; 0 takes any free one.
        grpc_port: the port of gRPC; 0 takes any free one.
        allow_remote: whether `host` may be another address than this machine's loopback.
        engine: the engine that runs every bundle; None runs each on what it was made for.
        threads: threads within one operator of a model; None leaves the choice to the engine.
        instances: the number of simultaneous runs of one model.
        batching: how requests are batched.
        body_limit: the most bytes of a request, before and after decompression, and of a tensor in it.
        request_timeout: the most seconds from a request's arrival in the queue to its answer.
        drain_seconds: the most seconds that accepted requests have after the server was asked to stop.
        reload_seconds: the seconds between two scans of the bundles on disk for changes; 0 never scans.
        version_policies: which versions are served, by the model's name; under `EVERY_MODEL` (``""``) for the models
            that are not named.
        max_sequences: the most live sequences of one model; another one is refused.
        sequence_idle_seconds: the seconds without a request after which a sequence ends by itself.
        allow_model_control: whether clients may load and unload models.
        api_keys: every request except health checks needs one of these; empty allows every request.
        tls_certificate: PEM file of the certificate chain; together with `tls_key` it turns TLS on.
        tls_key: PEM file of the private key.
        grpc_reflection: whether gRPC clients may ask which services and messages there are, as grpcurl does.
        access_log: file to which a JSON object per request is appended; ``-`` is stdout; None writes none.
        traces: URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; None makes none.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    allow_remote: bool = False
    engine: EngineName | None = None
    threads: int | None = None
    instances: int = 1
    batching: BatchPolicy = field(default_factory=BatchPolicy)
    body_limit: int = DEFAULT_BODY_LIMIT
    request_timeout: float = 30.0
    drain_seconds: float = 30.0
    reload_seconds: float = 1.0
    version_policies: Mapping[str, VersionPolicy] = field(default_factory=dict)
    max_sequences: int = 1024
    sequence_idle_seconds: float = 60.0
    allow_model_control: bool = False
    api_keys: frozenset[str] = frozenset()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    grpc_reflection: bool = False
    access_log: Path | None = None
    traces: str | None = None
