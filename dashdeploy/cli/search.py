"""``dashdeploy search``: parses the options, calls the library, prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Json, Quiet, Verbose
from dashdeploy.cli.options.data import (
    Data,
    DataDir,
    Lengths,
    Loss,
    Metric,
    Normalize,
    Predict,
    TaskName,
    check_one,
    load,
)
from dashdeploy.cli.options.values import duration, positive_integers
from dashdeploy.errors import InputError
from dashdeploy.progress import silent, to_stderr

Method = Literal["auto", "fourier", "per-dilation", "mixed-weights", "mixed-results"]


def search(
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it appears whole or not at all.")],
    task: TaskName = None,
    data: Data = None,
    data_dir: DataDir = None,
    predict: Predict = None,
    loss: Loss = None,
    metric: Metric = None,
    normalize: Normalize = None,
    lengths: Lengths = "pad",
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="The network whose kernels are searched: resnet1d, tcn, wide_resnet, convnext, or "
            "module:factory for your own; auto takes resnet1d for series and wide_resnet for images.",
        ),
    ] = None,
    kernel_sizes: Annotated[
        str | None, typer.Option("--kernel-sizes", help="The kernel sizes to choose from, such as 3,5,7,9.")
    ] = None,
    dilations: Annotated[
        str | None, typer.Option("--dilations", help="The dilations to choose from, such as 1,3,7,15.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="Convolutions to leave alone, by name, with * and ?; may be repeated.",
        ),
    ] = None,
    separable: Annotated[
        bool | None,
        typer.Option(
            "--separable/--dense", help="Whether layers with equal channels are searched depthwise."
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option("--method", help="How the mixture is computed; auto takes the cheapest per layer."),
    ] = None,
    preset: Annotated[
        Literal["quick", "paper"] | None,
        typer.Option(
            "--preset",
            help="quick: minutes on a CPU for series, longer for images. paper: the settings of the DASH paper, for "
            "a GPU.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.json", help="Settings by name, or a run's config.json."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as momentum=0.95 (docs/search.md lists them); may be repeated.",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=1,
            help="Channels of the backbone's first block, of resnet1d or a network of your own with a width.",
        ),
    ] = None,
    search_epochs: Annotated[
        int | None, typer.Option("--search-epochs", min=1, help="Passes over the data while searching.")
    ] = None,
    retrain_epochs: Annotated[
        int | None,
        typer.Option("--retrain-epochs", min=1, help="Passes over the data while training what was found."),
    ] = None,
    tune: Annotated[
        Literal["none", "grid", "tpe"] | None,
        typer.Option(
            "--tune",
            help="Tune learning rate, dropout, weight decay and momentum of retraining: grid as in the DASH "
            "paper, or Optuna's TPE.",
        ),
    ] = None,
    latency_weight: Annotated[
        float | None,
        typer.Option(
            "--latency-weight",
            min=0,
            help="Prefer kernels that are quick once compiled: what the backbone's own latency adds to the loss.",
        ),
    ] = None,
    latency_budget: Annotated[
        str | None,
        typer.Option("--latency-budget", help="How long all convolutions may take, such as 2ms."),
    ] = None,
    target: Annotated[
        Literal["ort-cpu", "openvino", "ort-cuda", "tensorrt", "tensorrt-rtx"] | None,
        typer.Option("--target", help="The engine whose latency counts; otherwise ort-cpu."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The GPU whose latency counts, such as l4; as in export. Where to train is said by --devices.",
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", help="End in about this time with a usable result, such as 30m or 2h."),
    ] = None,
    join: Annotated[
        bool,
        typer.Option(
            "--join", help="Help another process's unfinished run in --out with its tuning, then end."
        ),
    ] = False,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            metavar="[auto|cpu|cuda][:][N]",
            help="auto takes a GPU if there is one; 2, cpu:2 or cuda:4 share every batch among so many.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the split, the search and the training.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings in --out.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the kernels that fit a task, and train the result.

    For every convolution of the backbone, one kernel size and one dilation are chosen (DASH). The backbone
    as it was is trained with the same budget, for comparison. Settings come from the preset, then what suits a
    built-in task, then --config, then --set, then the options here.

    \b
    Example:
      dashdeploy search --task mnist1d --preset quick --out runs/mnist1d
      dashdeploy search --data signals.npz --kernel-sizes 3,7,11 --dilations 1,3,7 --out runs/signals
      dashdeploy search --data signals.npz --backbone mine:unet --set momentum=0.95 --out runs/unet
      dashdeploy search --task mnist1d --latency-weight 0.5 --target ort-cpu --max-time 30m --out runs/quick
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    check_one(task, data)
    options: dict[str, object] = {
        "backbone": backbone,
        "exclude": exclude or None,
        "separable": separable,
        "method": method,
        "width": width,
        "search_epochs": search_epochs,
        "retrain_epochs": retrain_epochs,
        "tune": tune,
        "latency_weight": latency_weight,
        "latency_target": target,
        "latency_device": device,
        "devices": devices,
        "seed": seed,
    }
    if latency_budget is not None:
        options["latency_budget"] = 1e3 * duration("--latency-budget", latency_budget, example="2ms")
    max_seconds = None if max_time is None else duration("--max-time", max_time, example="30m")
    if kernel_sizes is not None:
        options["kernel_sizes"] = positive_integers("--kernel-sizes", kernel_sizes, noun="kernel size")
    if dilations is not None:
        options["dilations"] = positive_integers("--dilations", dilations, noun="dilation")

    from dashdeploy.inspect.inspection import inspect_run
    from dashdeploy.search.config.sources import combined_settings

    # A wrong setting is told before the data is read.
    settings = combined_settings(preset, config, assignments or [], options)
    loaded = load(task, data, data_dir, settings.seed, predict, loss, metric, normalize, lengths)
    settings = combined_settings(preset, config, assignments or [], options, loaded.settings)
    if not (settings.latency_weight or settings.latency_budget):
        _refuse_useless({"--target": target, "--device": device})

    # Only now: Lightning takes seconds to import, which whoever mistyped something should not wait for.
    from dashdeploy.search import pipeline
    from dashdeploy.search.distributed.ranks import devices_of, rank
    from dashdeploy.search.staging.directory import staging_path
    from dashdeploy.search.supernet.networks import backbone_name, takes_width

    progress = silent if quiet else to_stderr
    if join:
        count = pipeline.join(loaded, settings, out, progress=progress)
        console.result(f"{count} trials were run here", {"trials": count})
        return
    is_first = not rank(devices_of(settings))  # it alone reports
    if width is not None and is_first and not takes_width(backbone_name(loaded, settings)):
        console.progress(
            f"--width {width} has no effect: the backbone {backbone_name(loaded, settings)} has no such parameter; "
            "docs/search.md says what it has for --set backbone_arguments"
        )
    try:
        run = pipeline.search(
            loaded, settings, out, resume=resume, progress=progress, max_seconds=max_seconds
        )
    except KeyboardInterrupt:
        if is_first and staging_path(out).exists():
            console.progress(
                f"{staging_path(out)} holds what was done; the same command with --resume goes on"
            )
        raise
    if not is_first:
        return
    found = inspect_run(run)
    console.result(found.text, found.data)
    console.progress(f"next: dashdeploy export {out} --out BUNDLE")


def _refuse_useless(given: Mapping[str, str | None]) -> None:
    """Refuse options that say whose latency counts where none does.

    Raises:
        InputError: one of them is given.
    """
    for option, value in given.items():
        if value is not None:
            raise InputError(
                f"{option} {value} says whose latency counts, and none does; add --latency-weight or "
                "--latency-budget" + ("; where to train is said by --devices" if option == "--device" else "")
            )
