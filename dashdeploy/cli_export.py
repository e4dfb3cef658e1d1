"""The ``export`` command; like `cli`, it parses, calls the library and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dashdeploy.command_options import Json, Quiet, Verbose
from dashdeploy.console import Console
from dashdeploy.errors import InputError
from dashdeploy.option_values import input_shapes


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|MODEL.onnx", help="A run of search, or any ONNX model.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle to write; it appears whole or not at all.")
    ] = None,
    target: Annotated[
        Literal["ort-cpu", "openvino", "ort-cuda", "tensorrt", "tensorrt-rtx"],
        typer.Option("--target", help="The engine to compile for; the first two are measured here."),
    ] = "ort-cpu",
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The GPU to plan for, with --tune estimate: h100, a100, l4, rtx-4090 or orin.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Samples per call that the costs are for.")
    ] = 1,
    lowering: Annotated[
        Literal["auto", "direct", "fft"],
        typer.Option(
            "--lowering", help="auto takes the cheaper one per layer; the others force one where possible."
        ),
    ] = "auto",
    tune: Annotated[
        Literal["measure", "estimate"],
        typer.Option("--tune", help="How the costs are found: by running each candidate, or by counting."),
    ] = "measure",
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Threads that the costs are measured with.")
    ] = 1,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name for clients; otherwise the folder's name.")
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape", metavar="NAME=1,1,1000", help="Fix an input's shape; may be given repeatedly."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile a run or an ONNX model into a bundle.

    Every convolution becomes the cheaper one of a direct and an FFT convolution; the result is checked
    against the original model.

    \b
    Example:
      dashdeploy export runs/mnist1d --out bundles/mnist1d
      dashdeploy export model.onnx --input-shape x=1,1,1000 --dry-run
      dashdeploy export model.onnx --target tensorrt --device h100 --tune estimate --dry-run
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if out is None and not dry_run:
        raise InputError("give --out BUNDLE, or --dry-run to see the plan alone")
    shapes = input_shapes("--input-shape", input_shape or [])

    from dashdeploy.export import pipeline
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.inspection import inspect_bundle, inspect_plan

    settings = ExportSettings(
        target=target,
        device=device,
        batch=batch,
        lowering=lowering,
        tune=tune,
        threads=threads,
        name=name,
        input_shapes=shapes,
    )
    if out is None or dry_run:
        found = inspect_plan(
            pipeline.plan_export(source, settings, progress=console.progress).model_dump(mode="json")
        )
        console.result(found.text, found.data)
        return
    found = inspect_bundle(pipeline.export(source, out, settings, progress=console.progress))
    console.result(found.text, found.data)
    console.progress(f"next: dashdeploy bench latency {out}, dashdeploy serve {out}")
