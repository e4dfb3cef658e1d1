"""The command ``bench serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput, Threads
from dashdeploy.cli.options.groups import with_option_groups


@with_option_groups
def serve(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that export wrote.")],
    connections: Annotated[
        int,
        typer.Option("--connections", min=1, help="The number of simultaneous requests for the throughput."),
    ] = 16,
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=86400, help="Seconds for each part.")
    ] = 10.0,
    peer: Annotated[
        Path | None,
        typer.Option(
            "--peer",
            metavar="FOLDER",
            help="Compare with MLServer. The command installs it into this folder if it is missing (500 MB).",
        ),
    ] = None,
    *,
    output: ResultOutput,
) -> None:
    """Measure what serving costs.

    First, single requests over HTTP and gRPC take turns with a call of the engine in this process. Then many
    requests run at the same time.

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
