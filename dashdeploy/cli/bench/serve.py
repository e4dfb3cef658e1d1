"""The command ``bench serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput, Threads
from dashdeploy.cli.options.groups import with_option_groups


@with_option_groups
def serve(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What export wrote.")],
    connections: Annotated[
        int, typer.Option("--connections", min=1, help="Requests under way at once for the throughput.")
    ] = 16,
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=86400, help="How long each part takes.")
    ] = 10.0,
    peer: Annotated[
        Path | None,
        typer.Option(
            "--peer",
            metavar="FOLDER",
            help="Compare with MLServer, which is installed into this folder (some 500 MB) if need be.",
        ),
    ] = None,
    *,
    output: ResultOutput,
) -> None:
    """Measure what serving costs.

    One request at a time over HTTP and gRPC takes turns with the engine's call in this process; then many
    requests at once.

    \b
    Example:
      dashdeploy bench serve bundles/mnist1d
      dashdeploy bench serve bundles/mnist1d --connections 32 --peer ~/.cache/mlserver
    """
    console = output.console()

    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.bench.serve.measure import measure_serving
    from dashdeploy.bench.serve.peer import Peer

    measured = measure_serving(
        Bundle.load(bundle),
        seconds=seconds,
        connections=connections,
        threads=threads,
        peer=None if peer is None else Peer(peer.expanduser(), progress=console.progress),
        progress=console.progress,
    )
    output.finish(console, measured)
