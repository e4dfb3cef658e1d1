"""The command ``bench networks``."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput, Threads
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.values import positive_integers
from dashdeploy.runtimes.names import TargetName


class CpuTarget(StrEnum):
    """The targets that are measured on a CPU."""

    ORT_CPU = TargetName.ORT_CPU
    ORT_WEB = TargetName.ORT_WEB
    OPENVINO = TargetName.OPENVINO
    NATIVE = TargetName.NATIVE


@with_option_groups
def networks(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Networks of the list. The default is all of them."),
    ] = None,
    batches: Annotated[str, typer.Option("--batches", help="The batch sizes.")] = "1",
    threads: Threads = 1,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.01, max=86400, help="Seconds for each batch size, for all variants together."
        ),
    ] = 5.0,
    target: Annotated[
        CpuTarget, typer.Option("--target", help="The engine to compile for and run in.")
    ] = CpuTarget.ORT_CPU,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time", help="Measure the processor time of the thread, for a machine that is not idle."
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FOLDER",
            help="Write the networks to this folder as ONNX files, and time nothing.",
        ),
    ] = None,
    *,
    output: ResultOutput,
) -> None:
    """Compile and time a fixed list of whole networks.

    The weights are random. Each network is compared with the same network all-direct, and with its original
    backbone.

    \b
    Example:
      dashdeploy bench networks
      dashdeploy bench networks resnet1d --batches 1,8 --json networks.json --report networks.html
      dashdeploy bench networks resnet1d --save networks
    """
    console = output.console()
    sizes = positive_integers("--batches", batches, noun="batch size")

    if save is not None:
        from dashdeploy.bench.networks.measure import save_networks

        files = [str(path) for path in save_networks(names or None, save, progress=console.progress)]
        output.print(console, "\n".join(files), files)
        return

    from dashdeploy.bench.latency.measure import measure_latency
    from dashdeploy.bench.latency.page import latency_page
    from dashdeploy.bench.latency.report import LatencyReport
    from dashdeploy.bench.networks.measure import exported_networks, measure_networks
    from dashdeploy.export.settings import ExportSettings

    settings = ExportSettings(target=TargetName(target), threads=threads)
    measure = partial(
        measure_latency,
        batches=sizes,
        threads=threads,
        seconds=seconds,
        cpu_time=cpu_time,
        progress=console.progress,
    )
    with exported_networks(names or None, settings, progress=console.progress) as bundles:
        measured = LatencyReport.merged(measure_networks(bundles, measure))
        output.finish(console, measured, page=partial(latency_page, measured, bundles))
