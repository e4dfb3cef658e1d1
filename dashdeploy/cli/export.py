"""The ``export`` command; like `cli`, it parses, calls the library and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Json, Quiet, Verbose
from dashdeploy.cli.options.values import input_shapes
from dashdeploy.errors import InputError


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL.onnx|BUNDLE",
            help="A run of search, any ONNX model, or a bundle that artefacts are added to.",
        ),
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
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option("--precision", help="Of the ONNX model and its engines; torch files stay fp32."),
    ] = "fp32",
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE.npz",
            help="Inputs for int8, an array per input; a run brings its own.",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float,
        typer.Option(
            "--max-accuracy-drop",
            min=0,
            max=1,
            help="How much lower the accuracy on the run's validation samples may be.",
        ),
    ] = 0.01,
    torchscript: Annotated[
        bool, typer.Option("--torchscript", help="Write model.ts for a run: TorchScript.")
    ] = False,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2 for a run: torch.export.")] = False,
    trt_rtx: Annotated[
        bool, typer.Option("--trt-rtx", help="Build model.rtx with TensorRT-RTX; this needs no GPU.")
    ] = False,
    compute_capabilities: Annotated[
        str, typer.Option("--compute-capabilities", help="The GPUs that model.rtx is built for.")
    ] = "8.0,8.6,8.9,12.0",
    trt: Annotated[
        bool, typer.Option("--trt", help="Build model.engine with TensorRT, for this machine's GPU.")
    ] = False,
    engine_batches: Annotated[
        str,
        typer.Option(
            "--engine-batches", metavar="MIN,OPT,MAX", help="The batches that TensorRT engines take."
        ),
    ] = "1,8,32",
    triton_repository: Annotated[
        Path | None,
        typer.Option(
            "--triton-repository",
            metavar="DIR",
            help="Put the model into a Triton model repository, new or old.",
        ),
    ] = None,
    kserve: Annotated[
        Path | None,
        typer.Option("--kserve", metavar="FILE.yaml", help="Write an InferenceService of KServe."),
    ] = None,
    storage_uri: Annotated[
        str, typer.Option("--storage-uri", help="Where KServe finds the Triton repository.")
    ] = "pvc://models/repository",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compile a run or an ONNX model into a bundle.

    Every convolution becomes the cheaper one of a direct and an FFT convolution; the result is checked
    against the original model. Engines and other artefacts are written beside it, or added to a bundle that
    is there already.

    \b
    Example:
      dashdeploy export runs/mnist1d --out bundles/mnist1d
      dashdeploy export model.onnx --input-shape x=1,1,1000 --dry-run
      dashdeploy export model.onnx --target tensorrt --device h100 --tune estimate --dry-run
      dashdeploy export runs/mnist1d --precision int8 --trt-rtx --out bundles/mnist1d-int8
      dashdeploy export bundles/mnist1d --trt
      dashdeploy export bundles/mnist1d --triton-repository repository --kserve service.yaml
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    shapes = input_shapes("--input-shape", input_shape or [])

    from dashdeploy.export import pipeline
    from dashdeploy.export.artifact_settings import ArtifactSettings
    from dashdeploy.export.deploy.add_artifacts import add_artifacts, is_bundle
    from dashdeploy.export.engines.settings import EngineSettings
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.inspect.inspection import inspect_bundle, inspect_plan

    settings = ExportSettings(
        target=target,
        device=device,
        batch=batch,
        lowering=lowering,
        tune=tune,
        threads=threads,
        name=name,
        input_shapes=shapes,
        precision=precision,
        calibration=calibration,
        max_accuracy_drop=max_accuracy_drop,
        artifacts=ArtifactSettings(
            torchscript=torchscript,
            pt2=pt2,
            trt_rtx=trt_rtx,
            trt=trt,
            engine=EngineSettings.parse(compute_capabilities, engine_batches),
            triton_repository=triton_repository,
            kserve=kserve,
            storage_uri=storage_uri,
        ),
    )
    if is_bundle(source) and not dry_run:
        bundle = add_artifacts(source, out, settings, progress=console.progress)
        found = inspect_bundle(bundle)
        console.result(found.text, found.data)
        return
    if out is None and not dry_run:
        raise InputError("give --out BUNDLE, or --dry-run to see the plan alone")
    if out is None or dry_run:
        found = inspect_plan(
            pipeline.plan_export(source, settings, progress=console.progress).model_dump(mode="json")
        )
        console.result(found.text, found.data)
        return
    found = inspect_bundle(pipeline.export(source, out, settings, progress=console.progress))
    console.result(found.text, found.data)
    console.progress(f"next: dashdeploy bench latency {out}, dashdeploy serve {out}")


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE|REPOSITORY|FILE.yaml...",
            help="Bundles, Triton repositories and InferenceServices that export wrote.",
        ),
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check what export wrote: hashes, schemas, versions, foreign files, and parity once more.

    In a Triton repository every config.pbtxt must parse as Triton's own ModelConfig and fit the model beside it.
    The first thing that is wrong ends the command: with exit 1 where something was changed, with 4 where a model
    does not agree with its reference.

    \b
    Example:
      dashdeploy verify bundles/mnist1d
      dashdeploy verify bundles/mnist1d repository service.yaml
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)

    from dashdeploy.export.verify import verification

    found = [verification.verify(path, console.progress) for path in paths]
    console.result("\n\n".join(each.text for each in found), [each.data for each in found])
