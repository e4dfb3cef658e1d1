"""The ``export`` command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashdeploy.cli.effects import written_options
from dashdeploy.cli.options.export import (
    Artifacts,
    BundleFolder,
    Deployment,
    Engines,
    Planning,
    Precision,
)
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output
from dashdeploy.errors import InputError

if TYPE_CHECKING:
    from dashdeploy.artifacts.bundle import Bundle


@with_option_groups
def export(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL.onnx|BUNDLE",
            help="A run of search, an ONNX model, or a bundle to add artifacts to.",
        ),
    ],
    bundle: BundleFolder,
    planning: Planning,
    precision: Precision,
    artifacts: Artifacts,
    tensorrt: Engines,
    deployment: Deployment,
    output: Output,
) -> None:
    """Compile a run or an ONNX model into a bundle.

    Each convolution becomes a direct one or an FFT convolution, whichever is cheaper. The result is compared with
    the original model before it is written. You can add engines and other artifacts now, or to a bundle later.

    \b
    Example:
      dashdeploy export runs/mnist1d --out bundles/mnist1d
      dashdeploy export model.onnx --input-shape x=1,1,1000 --dry-run
      dashdeploy export model.onnx --target auto --engines ort-cpu,openvino,mnn --out bundles/model
      dashdeploy export model.onnx --target tensorrt --device h100 --tune estimate --dry-run
      dashdeploy export runs/mnist1d --precision int8 --trt-rtx --out bundles/mnist1d-int8
      dashdeploy export bundles/mnist1d --trt
      dashdeploy export bundles/mnist1d --triton-repository repository --kserve service.yaml
      dashdeploy export runs/mnist1d --web site
    """
    console = output.console()
    shapes = bundle.input_shapes()

    from dashdeploy.export import pipeline
    from dashdeploy.export.artifact_settings import ArtifactSettings
    from dashdeploy.export.deploy.add_artifacts import add_artifacts, is_bundle
    from dashdeploy.export.engines.settings import EngineSettings
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.inspect.inspection import inspect_bundle, inspect_plan

    settings = ExportSettings(
        **planning.settings(),
        **precision.values(),
        name=bundle.name,
        input_shapes=shapes,
        states=bundle.states(),
        artifacts=ArtifactSettings(
            **artifacts.values(),
            **deployment.values(),
            engine=EngineSettings.parse(**tensorrt.given(written_options(context))),
        ),
    )
    out, progress = bundle.out, console.progress
    if is_bundle(source) and not bundle.dry_run:
        found = inspect_bundle(add_artifacts(source, out, settings, progress=progress))
        console.result(found.text, found.data)
    elif bundle.dry_run:
        plan = pipeline.plan_export(source, settings, progress=progress)
        found = inspect_plan(plan.model_dump(mode="json"))
        console.result(found.text, found.data)
    elif out is None and deployment.web is not None:
        site = pipeline.export_site(source, settings, progress=progress)
        console.result(site.text(deployment.web), site.model_dump(mode="json"))
        console.progress(f"next: python -m http.server --directory {deployment.web}, or any other web server")
    elif out is None:
        raise InputError("give --out BUNDLE, or --dry-run to see the plan alone")
    else:
        written = pipeline.export(source, out, settings, progress=progress)
        found = inspect_bundle(written)
        console.result(found.text, found.data)
        only = _only_batch(written)
        batches = "" if only is None else f" --batches {only}"
        console.progress(f"next: dashdeploy bench latency {out}{batches}, dashdeploy serve {out}")


def _only_batch(bundle: Bundle) -> int | None:
    """The one batch that a model takes, as parity found it; None if it takes several."""
    from dashdeploy.artifacts.bundle import PARITY_NAME

    labels = {entry["inputs"] for entry in bundle.read_json(PARITY_NAME)["outputs"]}
    found = {int(number) for label in labels for number in re.findall(r"^random, batch (\d+)", label)}
    return found.pop() if len(found) == 1 else None
