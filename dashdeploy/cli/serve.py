"""The ``serve`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Messages
from dashdeploy.cli.options.serve import Access, Addresses, Batching, Limits, Models, Records, Sequences


@with_option_groups
def serve(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="The bundles to serve, or folders of bundles.")
    ],
    addresses: Addresses,
    models: Models,
    batching: Batching,
    sequences: Sequences,
    limits: Limits,
    access: Access,
    records: Records,
    messages: Messages,
) -> None:
    """Serve bundles over HTTP and gRPC (Open Inference Protocol).

    Clients of KServe v2 and Triton work unchanged. The page at / shows the models and their traffic, and
    /metrics is for Prometheus. The server loads a bundle that you replace on disk, and drops no request. On
    SIGINT or SIGTERM it answers the requests that it accepted, and then ends.

    \b
    Example:
      dashdeploy serve bundles/mnist1d --http-port 8000 --grpc-port 8001
      curl http://127.0.0.1:8000/v2/models/mnist1d
    """
    messages.console()
    from dashdeploy.serve.server import serve as run_server
    from dashdeploy.serve.settings import ServeSettings

    settings = ServeSettings(
        batching=batching.policy(),
        **addresses.values(),
        **models.settings(),
        **sequences.values(),
        **limits.settings(),
        **access.settings(),
        **records.values(),
    )
    run_server(bundles, settings)
