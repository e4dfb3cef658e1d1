"""The command ``bench latency``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dashdeploy.cli.bench.options import ResultOutput
from dashdeploy.cli.options.groups import OptionGroup, with_option_groups
from dashdeploy.cli.options.values import positive_integers
from dashdeploy.cli.parameters import spelled
from dashdeploy.errors import GateError, InputError
from dashdeploy.runtimes.names import EngineName

if TYPE_CHECKING:
    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.cli.console import Console
    from dashdeploy.export.settings import ExportSettings


_BATCHES = "1,8,32"


class Measurement(OptionGroup, panel="Measurement"):
    """What is timed, and how."""

    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            help="Also compile and time these networks of bench networks, such as resnet1d,tcn, or all.",
        ),
    ] = None
    batches: Annotated[str, typer.Option("--batches", help="The batch sizes; with --loadgen only one.")] = (
        _BATCHES
    )
    threads: Annotated[
        str,
        typer.Option(
            "--threads",
            help="The number of threads in one operator. Several numbers, such as 1,2, are compared.",
        ),
    ] = "1"
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.01, max=86400, help="Seconds for each batch size, for all variants together."
        ),
    ] = 2.0
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help=f"The engines that run the bundles: one or several of {', '.join(EngineName)}, torch, "
            "torch-compile, torch-cuda-graph, or all that are here. The default is the engine that each was "
            "compiled for.",
        ),
    ] = None
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(
            "--device", help="The device for the engines of torch. The names of other engines say theirs."
        ),
    ] = "cpu"
    precisions: Annotated[
        str,
        typer.Option(
            "--precisions",
            help="The precisions of the engines of torch: one or several of fp32 (without TF32), tf32 (on a GPU), "
            "fp16, bf16.",
        ),
    ] = "fp32"
    memory: Annotated[
        bool, typer.Option("--memory", help="Also measure the peak memory, in one process for each variant.")
    ] = False
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Show the time of each layer of the compiled model (ONNX Runtime)."),
    ] = False

    def sizes(self) -> list[int]:
        """The batch sizes.

        Raises:
            InputError: one is none.
        """
        return positive_integers("--batches", self.batches, noun="batch size")

    def counts(self) -> list[int]:
        """The numbers of threads.

        Raises:
            InputError: one is none.
        """
        return positive_integers("--threads", self.threads, noun="number of threads")

    def engines(self) -> list[str] | None:
        """The engines; None is what each bundle was compiled for."""
        return None if self.engine is None else [word.strip() for word in self.engine.split(",")]


class LoadGen(OptionGroup, panel="MLPerf LoadGen"):
    """Another measurement of the same bundle."""

    loadgen: Annotated[
        Literal["single-stream", "offline", "server"] | None,
        typer.Option("--loadgen", help="Run this scenario of MLPerf LoadGen instead, and show its verdict."),
    ] = None
    url: Annotated[
        str | None,
        typer.Option("--url", help="With --loadgen: measure this running server, http://HOST:PORT."),
    ] = None
    qps: Annotated[
        float | None,
        typer.Option(
            "--qps",
            min=0.001,
            help="With --loadgen server: queries a second. By default the command finds the rate.",
        ),
    ] = None
    bound: Annotated[
        float,
        typer.Option(
            "--bound",
            min=0.001,
            help="With --loadgen server: the latency in milliseconds that 99 % of the queries must keep.",
        ),
    ] = 15.0


@with_option_groups
def latency(
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="BUNDLE...", help="The bundles that export wrote.")
    ] = None,
    *,
    measurement: Measurement,
    load: LoadGen,
    output: ResultOutput,
) -> None:
    """Time the compiled model, the direct one, the backbone, and one network of an ensemble.

    The variants take turns in one process, so other work on the machine affects all of them alike. Bundles and
    engines are compared in the same rounds. Networks of the list have separate rounds.

    \b
    Example:
      dashdeploy bench latency bundles/mnist1d
      dashdeploy bench latency bundles/mnist1d --engine all --threads 1,2 --report latency.html
      dashdeploy bench latency bundles/mnist1d --batches 1,64 --seconds 10 --json latency.json
      dashdeploy bench latency bundles/mnist1d --networks all --engine all --batches 1
      dashdeploy bench latency --networks resnet1d --engine torch,torch-cuda-graph,ort-cuda --device cuda
      dashdeploy bench latency bundles/mnist1d --engine torch --device cuda --precisions fp32,bf16 --batches 1,256
      dashdeploy bench latency bundles/mnist1d --loadgen server --url http://127.0.0.1:8000 --seconds 60
    """
    console = output.console()
    measurement.sizes(), measurement.counts()  # a list that is none is told before a bundle is read
    if load.url is not None and load.loadgen is None:
        raise InputError("--url belongs to --loadgen; add --loadgen single-stream, or leave --url out")

    from dashdeploy.artifacts.bundle import Bundle

    loaded = [Bundle.load(path) for path in bundles or ()]
    if load.loadgen is None:
        _time(loaded, measurement, output, console)
    elif len(loaded) == 1 and measurement.networks is None:
        _run_loadgen(loaded[0], measurement, load, output, console)
    else:
        raise InputError("--loadgen measures one bundle at a time; name one")


def _run_loadgen(
    bundle: Bundle, measurement: Measurement, load: LoadGen, output: ResultOutput, console: Console
) -> None:
    from dashdeploy.bench.loadgen.measure import Load, measure_loadgen

    assert load.loadgen is not None
    sizes, counts = measurement.sizes(), measurement.counts()
    if len(sizes) > 1 and measurement.batches != _BATCHES:
        raise InputError(f"--batches {measurement.batches}: --loadgen runs with one batch size; name one")
    if len(counts) > 1:
        raise InputError(f"--threads {measurement.threads}: --loadgen runs with one number; name one")
    verdict = measure_loadgen(
        bundle,
        Load(
            scenario=load.loadgen,
            seconds=measurement.seconds,
            batch=max(sizes),
            qps=load.qps,
            bound_ms=load.bound,
        ),
        engine=measurement.engine,
        url=load.url,
        threads=counts[0],
        progress=console.progress,
    )
    output.finish(console, verdict)
    if not verdict.valid:
        raise GateError(f"LoadGen's verdict is INVALID: {verdict.why()}")


def _time(loaded: Sequence[Bundle], measurement: Measurement, output: ResultOutput, console: Console) -> None:
    from dashdeploy.bench.latency.measure import measure_latency
    from dashdeploy.bench.latency.page import latency_page
    from dashdeploy.bench.latency.report import LatencyReport
    from dashdeploy.bench.networks.measure import exported_networks, measure_networks

    sizes, counts, engines = measurement.sizes(), measurement.counts(), measurement.engines()
    measure = partial(
        measure_latency,
        batches=sizes,
        threads=counts,
        seconds=measurement.seconds,
        engines=engines,
        device=measurement.device,
        precisions=[word.strip() for word in measurement.precisions.split(",")],
        memory=measurement.memory,
        progress=console.progress,
    )
    with ExitStack() as stack:
        listed: list[Bundle] = []
        if measurement.networks is not None:
            words = [word.strip() for word in measurement.networks.split(",")]
            names = None if measurement.networks == "all" else words
            settings = _settings(counts[0], engines or ())
            listed = stack.enter_context(exported_networks(names, settings, progress=console.progress))
        together = [measure(loaded)] if loaded or not listed else []
        measured = LatencyReport.merged([*together, *measure_networks(listed, measure)])
        bundles = [*loaded, *listed]
        changes: dict[str, object] = {
            "skipped": {engine: spelled(reason) for engine, reason in measured.skipped.items()}
        }
        if measurement.profile:
            from dashdeploy.bench.latency.profile import profile_layers

            changes["profiles"] = tuple(
                profile_layers(bundle, batch=sizes[0], threads=counts[0], label=facts.label)
                for facts, bundle in zip(measured.bundles, bundles, strict=True)
            )
        measured = measured.model_copy(update=changes)
        output.finish(console, measured, page=partial(latency_page, measured, bundles))


def _settings(threads: int, engines: Sequence[str]) -> ExportSettings:
    """Settings that give a bundle everything that `engines` may ask of it.

    Raises:
        InputError: the engine does not exist; better known before the export than after it.
    """
    from dashdeploy.bench.latency.variants import ALL, OF_TORCH, check_engine
    from dashdeploy.export.artifact_settings import ArtifactSettings
    from dashdeploy.export.settings import ExportSettings

    for engine in engines:
        if engine != ALL:
            check_engine(engine)
    artifacts = ArtifactSettings(
        torchscript=bool({ALL, "torchscript"} & set(engines)),
        pt2=bool({ALL, EngineName.TORCH_CUDA, *OF_TORCH} & set(engines)),
    )
    return ExportSettings(threads=threads, artifacts=artifacts)
