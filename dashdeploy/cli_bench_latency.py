"""The command ``bench latency``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dashdeploy.atomic import check_file_writable
from dashdeploy.command_options import Quiet, Verbose
from dashdeploy.console import Console, as_text
from dashdeploy.errors import GateError, InputError
from dashdeploy.json_option import JsonFile, report
from dashdeploy.option_values import positive_integers

if TYPE_CHECKING:
    from dashdeploy.bundle import Bundle


def latency(
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="BUNDLE...", help="What export wrote.")
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            help="Compile and time these networks of bench networks too, such as resnet1d,tcn, or all.",
        ),
    ] = None,
    batches: Annotated[str, typer.Option("--batches", help="The batch sizes.")] = "1,8,32",
    threads: Annotated[
        str,
        typer.Option("--threads", help="Threads within one operator; several, such as 1,2, are compared."),
    ] = "1",
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=0.01, help="How long to time each batch size, all variants together."),
    ] = 2.0,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="What runs the bundles, one or several of ort-cpu, ort-cuda, openvino, torchscript, tensorrt, "
            "tensorrt-rtx, torch, torch-compile, or all that are here; otherwise what each was compiled for.",
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Measure the peak memory too, of each in a process of its own.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Where the compiled model's time goes, by layer (ONNX Runtime).")
    ] = False,
    loadgen: Annotated[
        Literal["single-stream", "offline", "server"] | None,
        typer.Option("--loadgen", help="Run this scenario of MLPerf LoadGen instead, with its own verdict."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="With --loadgen: ask this running server instead, http://HOST:PORT."),
    ] = None,
    qps: Annotated[
        float | None,
        typer.Option(
            "--qps", min=0.001, help="With --loadgen server: queries a second; otherwise found out."
        ),
    ] = None,
    bound: Annotated[
        float,
        typer.Option("--bound", min=0.001, help="With --loadgen server: milliseconds that 99 % must keep."),
    ] = 15.0,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a report for people: one HTML file."),
    ] = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time the compiled model, the direct one and the backbone.

    The variants take turns in one process, so that whatever else the machine does hits all of them. Several bundles
    and several engines are compared in the same rounds.

    \b
    Example:
      dashdeploy bench latency bundles/mnist1d
      dashdeploy bench latency bundles/mnist1d --engine all --threads 1,2 --report latency.html
      dashdeploy bench latency bundles/mnist1d --batches 1,64 --seconds 10 --json latency.json
      dashdeploy bench latency bundles/mnist1d --networks all --engine all --batches 1
      dashdeploy bench latency bundles/mnist1d --loadgen server --url http://127.0.0.1:8000 --seconds 60
    """
    console = Console(quiet=quiet, verbose=verbose)
    sizes = positive_integers("--batches", batches, noun="batch size")
    counts = positive_integers("--threads", threads, noun="number of threads")
    if url is not None and loadgen is None:
        raise InputError("--url belongs to --loadgen; add --loadgen single-stream, or leave --url out")

    if report_file is not None:
        check_file_writable(report_file)

    from dashdeploy.bundle import Bundle

    loaded = [Bundle.load(path) for path in bundles or ()]
    if loadgen is not None:
        if len(loaded) != 1 or networks is not None:
            raise InputError("--loadgen measures one bundle at a time; name one")
        from dashdeploy.bench.loadgen import Load, measure_loadgen

        verdict = measure_loadgen(
            loaded[0],
            Load(scenario=loadgen, seconds=seconds, batch=max(sizes), qps=qps, bound_ms=bound),
            engine=engine,
            url=url,
            threads=counts[0],
            progress=console.progress,
        )
        report(console, verdict.text(), verdict.model_dump(mode="json"), json_file)
        if not verdict.valid:
            raise GateError(f"LoadGen's verdict is INVALID: {verdict.why()}")
        return

    from dashdeploy.bench.latency import measure_latency

    with ExitStack() as stack:
        if networks is not None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="dashdeploy-networks-")))
            loaded += _exported(networks, folder, counts[0], console)
        measured = measure_latency(
            loaded,
            batches=sizes,
            threads=counts,
            seconds=seconds,
            engines=None if engine is None else [word.strip() for word in engine.split(",")],
            memory=memory,
            progress=console.progress,
        )
        text = as_text(measured.table())
        if profile:
            from dashdeploy.bench.layer_profile import profile_layers

            for bundle in loaded:
                text += "\n\n" + profile_layers(bundle, batch=sizes[0], threads=counts[0]).text()
        if report_file is not None:
            from dashdeploy.bench.latency_page import latency_page

            latency_page(measured, loaded).write(report_file)
            console.progress(f"wrote {report_file}")
    report(console, text, measured.model_dump(mode="json"), json_file)


def _exported(names: str, folder: Path, threads: int, console: Console) -> list[Bundle]:
    """Bundles of the networks of the list, with everything that an engine here may ask of them."""
    from dashdeploy.bench.networks import check_names, export_network
    from dashdeploy.export.artefact_settings import ArtefactSettings
    from dashdeploy.export.settings import ExportSettings

    chosen = None if names == "all" else [word.strip() for word in names.split(",")]
    settings = ExportSettings(threads=threads, artefacts=ArtefactSettings(torchscript=True, pt2=True))
    return [
        export_network(name, folder / name, settings, progress=console.progress)
        for name in check_names(chosen)
    ]
