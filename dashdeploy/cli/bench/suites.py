"""The ``bench`` commands; like `cli`, they parse, call the library and print."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from dashdeploy.cli.bench.accuracy import accuracy
from dashdeploy.cli.bench.latency import latency
from dashdeploy.cli.bench.result import ReportFile, finish
from dashdeploy.cli.bench.search_cost import search_cost
from dashdeploy.cli.bench.show import show
from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Quiet, Verbose
from dashdeploy.cli.options.json_file import JsonFile, JsonFileCommand, report
from dashdeploy.cli.options.values import positive_integers

bench_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure latency, the search and serving."
)
bench_app.command("latency", cls=JsonFileCommand)(latency)
bench_app.command("search-cost", cls=JsonFileCommand)(search_cost)
bench_app.command("accuracy", cls=JsonFileCommand)(accuracy)
bench_app.command("show")(show)

Batches = Annotated[str, typer.Option("--batches", help="The batch sizes.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads within one operator.")]
Seconds = Annotated[
    float,
    typer.Option(
        "--seconds", min=0.01, max=86400, help="How long to time each batch size, all variants together."
    ),
]


@bench_app.command(cls=JsonFileCommand)
def networks(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Networks of the list; otherwise all of them."),
    ] = None,
    batches: Batches = "1",
    threads: Threads = 1,
    seconds: Seconds = 5.0,
    target: Annotated[
        Literal["ort-cpu", "openvino"], typer.Option("--target", help="The engine to compile for and run in.")
    ] = "ort-cpu",
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FOLDER",
            help="Write the networks there as ONNX files, for export and others; nothing is timed.",
        ),
    ] = None,
    json_file: JsonFile = None,
    report_file: ReportFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile and time a fixed list of whole networks.

    Their weights are random. Each is compared with all its convolutions direct, and with the original
    backbone.

    \b
    Example:
      dashdeploy bench networks
      dashdeploy bench networks resnet1d --batches 1,8 --json networks.json --report networks.html
      dashdeploy bench networks resnet1d --save networks
    """
    console = Console(quiet=quiet, verbose=verbose)
    sizes = positive_integers("--batches", batches, noun="batch size")

    if save is not None:
        from dashdeploy.bench.networks.measure import save_networks

        files = [str(path) for path in save_networks(names or None, save, progress=console.progress)]
        report(console, "\n".join(files), files, json_file)
        return

    from dashdeploy.bench.latency.measure import measure_latency
    from dashdeploy.bench.latency.page import latency_page
    from dashdeploy.bench.latency.report import LatencyReport
    from dashdeploy.bench.networks.measure import exported_networks, measure_networks
    from dashdeploy.export.settings import ExportSettings

    settings = ExportSettings(target=target, threads=threads)
    measure = partial(
        measure_latency, batches=sizes, threads=threads, seconds=seconds, progress=console.progress
    )
    with exported_networks(names or None, settings, progress=console.progress) as bundles:
        measured = LatencyReport.merged(measure_networks(bundles, measure))
        page = partial(latency_page, measured, bundles)
        finish(console, measured, json_file, report_file, page=page)


@bench_app.command(cls=JsonFileCommand)
def layers(
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=2, help="Only convolutions of so many dimensions.")
    ] = None,
    batches: Annotated[str, typer.Option("--batches", help="The batch sizes of the 1-D list.")] = "1,8",
    channels: Annotated[
        str, typer.Option("--channels", help="Only convolutions of so many channels.")
    ] = "64,128,256",
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.01, max=86400, help="How long to time each convolution.")
    ] = 0.5,
    json_file: JsonFile = None,
    report_file: ReportFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time a fixed list of single convolutions, direct against chosen.

    The plan is made first; then both are timed again, taking turns.

    \b
    Example:
      dashdeploy bench layers
      dashdeploy bench layers --rank 2 --channels 64 --json layers.json --report layers.html
    """
    console = Console(quiet=quiet, verbose=verbose)
    sizes = positive_integers("--batches", batches, noun="batch size")
    widths = positive_integers("--channels", channels, noun="number of channels")

    from dashdeploy.bench.layers.measure import layer_suite, measure_layers

    measured = measure_layers(
        layer_suite(rank, batches=sizes, channels=widths),
        threads=threads,
        seconds=seconds,
        progress=console.progress,
    )
    finish(console, measured, json_file, report_file)


@bench_app.command(cls=JsonFileCommand)
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
    json_file: JsonFile = None,
    report_file: ReportFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure what serving costs.

    One request at a time over HTTP and gRPC takes turns with the engine's call in this process; then many
    requests at once.

    \b
    Example:
      dashdeploy bench serve bundles/mnist1d
      dashdeploy bench serve bundles/mnist1d --connections 32 --peer ~/.cache/mlserver
    """
    console = Console(quiet=quiet, verbose=verbose)

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
    finish(console, measured, json_file, report_file)
