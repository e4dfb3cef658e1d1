"""The command ``bench layers``."""

from __future__ import annotations

from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput, Threads
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.values import positive_integers


@with_option_groups
def layers(
    rank: Annotated[
        int | None,
        typer.Option("--rank", min=1, max=2, help="Only convolutions with this number of dimensions."),
    ] = None,
    batches: Annotated[str, typer.Option("--batches", help="The batch sizes of the 1-D list.")] = "1,8",
    channels: Annotated[
        str, typer.Option("--channels", help="Only convolutions with these numbers of channels.")
    ] = "64,128,256",
    threads: Threads = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.01, max=86400, help="Seconds for each convolution.")
    ] = 0.5,
    *,
    output: ResultOutput,
) -> None:
    """Time a fixed list of single convolutions, direct against chosen.

    The command first plans each convolution. Then it times both forms again, in turns.

    \b
    Example:
      dashdeploy bench layers
      dashdeploy bench layers --rank 2 --channels 64 --json layers.json --report layers.html
    """
    console = output.console()
    sizes = positive_integers("--batches", batches, noun="batch size")
    widths = positive_integers("--channels", channels, noun="number of channels")

    from dashdeploy.bench.layers.measure import layer_suite, measure_layers

    measured = measure_layers(
        layer_suite(rank, batches=sizes, channels=widths),
        threads=threads,
        seconds=seconds,
        progress=console.progress,
    )
    output.finish(console, measured)
