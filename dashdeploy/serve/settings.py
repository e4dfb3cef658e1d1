"""The settings of a server: addresses, batching, limits, access."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dashdeploy.errors import InputError

MEBIBYTE = 1024 * 1024

DEFAULT_BODY_LIMIT = 64 * MEBIBYTE
"""The most bytes of a request, as Triton's ``--http-max-input-size`` has it."""


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """How the requests that wait for a model are put together.

    Attributes:
        max_rows: the most rows of a batch; 1 turns batching off. A request of more rows runs alone.
        preferred: row counts at which a batch is sent without waiting for `delay`, ascending.
        delay: the most seconds that the oldest request waits for company; 0 runs it as soon as the engine is
            idle, so that batches form only from what came while the engine was busy.
        queue_size: the places for one model's requests: each that waits takes one, and each batch under way.
            One more is refused.
    """

    max_rows: int = 32
    preferred: tuple[int, ...] = ()
    delay: float = 0.0
    queue_size: int = 256

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise InputError(f"--max-batch {self.max_rows}: use 1 (no batching) or more")
        if self.queue_size < 1:
            raise InputError(f"--queue-size {self.queue_size}: use 1 or more")
        if not 0 <= self.delay <= 10:
            raise InputError(f"--batch-delay {self.delay * 1e3:g}: use 0 to 10000 milliseconds")
        if any(rows > self.max_rows for rows in self.preferred):
            raise InputError(
                f"--preferred-batches {','.join(map(str, self.preferred))}: larger than --max-batch "
                f"{self.max_rows}; raise --max-batch"
            )


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """All settings of a server.

    Attributes:
        host: the address to listen on.
        http_port: the port of HTTP; 0 takes any free one.
        grpc_port: the port of gRPC; 0 takes any free one.
        allow_remote: whether `host` may be another address than this machine's loopback.
        engine: the engine that runs every bundle; None runs each on what it was made for.
        threads: threads within one operator of a model; None leaves the choice to the engine.
        instances: how many runs of one model may be under way at once.
        batching: how requests are batched.
        body_limit: the most bytes of a request, before and after decompression, and of a tensor in it.
        request_timeout: the most seconds from a request's arrival in the queue to its answer.
        drain_seconds: the most seconds that accepted requests get once the server is to stop.
        reload_seconds: the seconds between two scans of the bundles on disk for changes; 0 never scans.
        latest_versions: how many of a model's versions are served, the highest first; None serves all.
        allow_model_control: whether clients may load and unload models.
        api_keys: one of these must come with every request but the health checks; empty lets everyone in.
        tls_certificate: PEM file of the certificate chain; together with `tls_key` it turns TLS on.
        tls_key: PEM file of the private key.
        access_log: file to which a JSON object per request is appended; ``-`` is stdout; None writes none.
        traces: URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; None makes none.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    allow_remote: bool = False
    engine: str | None = None
    threads: int | None = None
    instances: int = 1
    batching: BatchPolicy = field(default_factory=BatchPolicy)
    body_limit: int = DEFAULT_BODY_LIMIT
    request_timeout: float = 30.0
    drain_seconds: float = 30.0
    reload_seconds: float = 1.0
    latest_versions: int | None = None
    allow_model_control: bool = False
    api_keys: frozenset[str] = frozenset()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    access_log: Path | None = None
    traces: str | None = None
