"""The ``bench`` commands; like `cli`, they parse, call the library and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.command_options import Quiet, Verbose
from dashdeploy.console import Console, as_text
from dashdeploy.json_option import JsonFileCommand, report
from dashdeploy.option_values import positive_integers

bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure latency.")

JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        help="Write the result to FILE as JSON; without FILE, to stdout and nothing else.",
    ),
]
Batches = Annotated[str, typer.Option("--batches", help="The batch sizes.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads within one operator.")]
Seconds = Annotated[
    float,
    typer.Option("--seconds", min=0.01, help="How long to time each batch size, all variants together."),
]


@bench_app.command(cls=JsonFileCommand)
def latency(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What export wrote.")],
    batches: Batches = "1,8,32",
    threads: Threads = 1,
    seconds: Seconds = 2.0,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time the compiled model, the direct one and the backbone.

    The variants take turns in one process, so that whatever else the machine does hits all of them.

    \b
    Example:
      dashdeploy bench latency bundles/mnist1d
      dashdeploy bench latency bundles/mnist1d --batches 1,64 --seconds 10 --json latency.json
    """
    console = Console(quiet=quiet, verbose=verbose)
    sizes = positive_integers("--batches", batches, noun="batch size")

    from dashdeploy.bench.latency import measure_latency
    from dashdeploy.bundle import Bundle

    measured = measure_latency(
        Bundle.load(bundle), batches=sizes, threads=threads, seconds=seconds, progress=console.progress
    )
    report(console, as_text(measured.table()), measured.model_dump(mode="json"), json_file)


@bench_app.command(cls=JsonFileCommand)
def networks(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Networks of the list; otherwise all of them."),
    ] = None,
    batches: Batches = "1",
    threads: Threads = 1,
    seconds: Seconds = 5.0,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile and time a fixed list of whole networks.

    Their weights are random. Each is compared with all its convolutions direct, and with the original
    backbone.

    \b
    Example:
      dashdeploy bench networks
      dashdeploy bench networks resnet1d --batches 1,8 --json networks.json
    """
    console = Console(quiet=quiet, verbose=verbose)
    sizes = positive_integers("--batches", batches, noun="batch size")

    from dashdeploy.bench.networks import measure_networks

    measured = measure_networks(
        names or None, batches=sizes, threads=threads, seconds=seconds, progress=console.progress
    )
    text = "\n\n".join(as_text(each.table()) for each in measured.values())
    report(console, text, {name: each.model_dump(mode="json") for name, each in measured.items()}, json_file)
