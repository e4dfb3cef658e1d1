"""The command ``bench engines``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput, Threads
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.parameters import spelled
from dashdeploy.errors import InputError


@with_option_groups
def engines(
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="[BUNDLE]...", help="The bundles that export wrote.")
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            help="Networks of bench networks, such as resnet1d,tcn, or all. Each is planned for every engine.",
        ),
    ] = None,
    engines: Annotated[
        str,
        typer.Option(
            "--engines",
            help="Some of ort-cpu, ort-web, openvino, openvino-bf16, mnn, iree, litert, aoti, executorch, "
            "torchscript, torch, ort:NAME for an execution provider of ONNX Runtime; or all that are here.",
        ),
    ] = "all",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples per call.")] = 1,
    threads: Threads = 1,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.01, max=86400, help="Seconds for each model, for all engines together."
        ),
    ] = 20.0,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory",
            help="Also measure the peak memory, in one process for each variant.",
        ),
    ] = True,
    *,
    output: ResultOutput,
) -> None:
    """Run one model in every installed engine: latency, error, sizes, memory.

    The backbone, the direct model and the compiled model take turns in all engines, in one process. The compiled
    model of a bundle was planned for one engine; networks of the list are planned for each engine. The output names
    missing engines, with the command that installs them.

    \b
    Example:
      dashdeploy bench engines bundles/mnist1d
      dashdeploy bench engines bundles/mnist1d --engines ort-cpu,openvino,mnn --report engines.html
      dashdeploy bench engines --networks resnet1d --seconds 60 --json engines.json
    """
    console = output.console()
    words = [word.strip() for word in engines.split(",")]

    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.bench.engines.measure import measure_engines
    from dashdeploy.bench.engines.models import check_engines, of_bundles, of_networks

    check_engines(words)
    models = of_bundles([Bundle.load(path) for path in bundles or ()])
    if not models and networks is None:
        raise InputError("no model to run; name a bundle, or --networks resnet1d")
    with ExitStack() as stack:
        if networks is not None:
            names = None if networks == "all" else [word.strip() for word in networks.split(",")]
            listed = of_networks(names, words, threads=threads, batch=batch, progress=console.progress)
            models += stack.enter_context(listed)
        measured = measure_engines(
            models,
            engines=words,
            batch=batch,
            threads=threads,
            seconds=seconds,
            memory=memory,
            progress=console.progress,
        )
        skipped = {name: spelled(reason) for name, reason in measured.skipped.items()}
        output.finish(console, measured.model_copy(update={"skipped": skipped}))
