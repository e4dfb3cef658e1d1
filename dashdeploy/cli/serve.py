"""The ``serve`` command; like `cli`, it parses, calls the library and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Quiet, Verbose
from dashdeploy.cli.options.values import positive_integers
from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import EngineName

_MEBIBYTE = 1024 * 1024


def serve(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="The bundles to serve, or folders of bundles.")
    ],
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    http_port: Annotated[
        int,
        typer.Option(
            "--http-port", min=0, max=65535, help="The port of HTTP; 0 takes a free one and says which."
        ),
    ] = 8000,
    grpc_port: Annotated[
        int,
        typer.Option(
            "--grpc-port", min=0, max=65535, help="The port of gRPC; 0 takes a free one and says which."
        ),
    ] = 8001,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow a --host that other machines can reach.")
    ] = False,
    engine: Annotated[
        EngineName | None,
        typer.Option("--engine", help="What runs the bundles; otherwise what each was made for."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads within one inference; otherwise the engine's choice."),
    ] = None,
    instances: Annotated[
        int,
        typer.Option("--instances", min=1, max=64, help="Runs of one model that may be under way at once."),
    ] = 1,
    max_batch: Annotated[
        int, typer.Option("--max-batch", min=1, help="The most rows that requests are batched to; 1: never.")
    ] = 32,
    batch_delay: Annotated[
        float,
        typer.Option(
            "--batch-delay", min=0, help="Milliseconds that a request waits for company; 0 runs when idle."
        ),
    ] = 0.0,
    preferred_batches: Annotated[
        str | None,
        typer.Option("--preferred-batches", help="Batch sizes that are run without the delay, such as 8,16."),
    ] = None,
    queue_size: Annotated[
        int,
        typer.Option(
            "--queue-size",
            min=1,
            help="Places per model, for requests that wait and batches under way; one more gets 503.",
        ),
    ] = 256,
    request_timeout: Annotated[
        float,
        typer.Option("--request-timeout", min=0.001, help="Seconds from a request's arrival to its answer."),
    ] = 30.0,
    body_limit: Annotated[
        int, typer.Option("--body-limit", min=1, help="MiB of a request, unpacked, and of a tensor in it.")
    ] = 64,
    latest: Annotated[
        int | None,
        typer.Option("--latest", min=1, help="Serve only this many versions of a model, the highest first."),
    ] = None,
    reload_seconds: Annotated[
        float,
        typer.Option("--reload-seconds", min=0, help="How often to look for replaced bundles; 0: never."),
    ] = 1.0,
    drain_seconds: Annotated[
        float,
        typer.Option("--drain-seconds", min=0, help="What accepted requests get after SIGTERM."),
    ] = 30.0,
    allow_model_control: Annotated[
        bool, typer.Option("--allow-model-control", help="Let clients load and unload models.")
    ] = False,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            envvar="DASHDEPLOY_API_KEY_FILE",
            help="Keys, one per line; a request must bring one (Authorization: Bearer KEY).",
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            "--tls-certificate", envvar="DASHDEPLOY_TLS_CERTIFICATE", help="PEM certificate; turns TLS on."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option("--tls-key", envvar="DASHDEPLOY_TLS_KEY", help="PEM private key of the certificate."),
    ] = None,
    access_log: Annotated[
        Path | None,
        typer.Option("--access-log", help="Append a JSON line per request to this file; - is stdout."),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            "--traces",
            metavar="URL",
            envvar="DASHDEPLOY_TRACES",
            help="Send OpenTelemetry traces to this collector (OTLP over HTTP), such as http://127.0.0.1:4318.",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Serve bundles over HTTP and gRPC (Open Inference Protocol).

    Clients of KServe v2 and Triton work unchanged; a page at / shows what is going on, /metrics is for
    Prometheus. A bundle that is replaced on disk is loaded without dropping a request. SIGINT or SIGTERM
    ends the server once it has answered what it accepted.

    \b
    Example:
      dashdeploy serve bundles/mnist1d --http-port 8000 --grpc-port 8001
      curl http://127.0.0.1:8000/v2/models/mnist1d
    """
    Console(quiet=quiet, verbose=verbose)
    from dashdeploy.serve.server import serve as run_server
    from dashdeploy.serve.settings import LONGEST_DELAY, BatchPolicy, ServeSettings

    preferred = positive_integers("--preferred-batches", preferred_batches or "1", noun="batch size")
    if (
        not batch_delay <= LONGEST_DELAY * 1e3
    ):  # in seconds the library refuses it too; here it is milliseconds
        raise InputError(f"--batch-delay {batch_delay:g}: use 0 to {LONGEST_DELAY * 1e3:g} milliseconds")
    batching = BatchPolicy(
        max_rows=max_batch,
        preferred=tuple(sorted(preferred)) if preferred_batches else (),
        delay=batch_delay / 1e3,
        queue_size=queue_size,
    )
    settings = ServeSettings(
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        allow_remote=allow_remote,
        engine=engine,
        threads=threads,
        instances=instances,
        batching=batching,
        body_limit=body_limit * _MEBIBYTE,
        request_timeout=request_timeout,
        drain_seconds=drain_seconds,
        reload_seconds=reload_seconds,
        latest_versions=latest,
        allow_model_control=allow_model_control,
        api_keys=_keys(api_key_file),
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        access_log=access_log,
        traces=traces,
    )
    run_server(bundles, settings)


def _keys(file: Path | None) -> frozenset[str]:
    if file is None:
        return frozenset()
    from dashdeploy.serve.limits.api_keys import read_api_keys

    return read_api_keys(file)
