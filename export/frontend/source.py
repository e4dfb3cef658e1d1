"""What is exported: a run, modules or an ONNX file, as a model with a reference that it must agree with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.artifacts.run import SAMPLES_NAME
from dashdeploy.errors import InputError, first_line
from dashdeploy.export.frontend.automatic_padding import with_explicit_pads
from dashdeploy.export.frontend.graph_values import is_operator
from dashdeploy.export.frontend.onnx_files import (
    from_torch,
    read_onnx,
    serialized,
    with_constant_weights,
    with_input_shapes,
)
from dashdeploy.export.frontend.opset_conversion import OPSET, with_current_opset
from dashdeploy.export.frontend.source_precision import source_precision
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

if TYPE_CHECKING:  # an ONNX file needs no torch, which is large
    from torch import nn

    from dashdeploy.backbones.run import Run

INPUT_NAME = "input"
OUTPUT_NAME = "logits"
"""What a run's model calls its tensors."""

Reference = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Source:
    """A model to compile.

    Attributes:
        path: the run or the file.
        model: as it was read or exported; `passes.sequence.prepare` makes it ready for the compiler.
        original: the bytes of the ONNX file, or of the same with explicit pads where ONNX Runtime needs them; None
            for a run.
        reference: computes the outputs that the compiled model must agree with.
        reference_name: what computes them, in words.
        backbone: the unsearched backbone, for a run; as `model`.
        single: the ensemble's first member by itself, for a run with an ensemble; as `model`.
        members: of how many networks `model` is the mean.
        labels: class names, for a run of a classifier.
        multi_label: whether a sample may have several of them.
        samples: real inputs by input name: a run's validation samples, or those that the user gives; maybe none.
        samples_name: what they are called.
        targets: what the task wants for each of them; None for an ONNX file.
        module: the torch module that `model` was exported from; None for an ONNX file.
        precision: what the model computes in already; see `source_precision`.
        unoptimized: loads the reference without its engine's rewriting, for an ONNX file.
    """

    path: Path
    model: ir.Model
    original: bytes | None
    reference: Reference
    reference_name: str
    backbone: ir.Model | None = None
    single: ir.Model | None = None
    members: int = 1
    labels: list[str] = field(default_factory=list)
    multi_label: bool = False
    samples: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    samples_name: str = "validation"
    targets: npt.NDArray[np.generic] | None = None
    module: nn.Module | None = None
    precision: str = "fp32"
    unoptimized: Callable[[], Reference] | None = None


def load_source(
    path: Path,
    input_shapes: Mapping[str, tuple[int, ...]],
    progress: Progress = silent,
    *,
    ensemble: bool | None = None,
) -> Source:
    """Read a run directory or an ONNX file.

    Args:
        path: the run or the file.
        input_shapes: shapes to fix, by input name, for an ONNX file.
        progress: a function that gets a line for each step.
        ensemble: as `ExportSettings.ensemble`.

    Raises:
        InputError: there is nothing at `path`, it is neither a run nor an ONNX model, or it has no ensemble and
            `ensemble` says something about it.
    """
    if path.is_dir():
        if input_shapes:
            raise InputError("`input_shapes` is for ONNX files: a run knows its input's shape")
        from dashdeploy.backbones.run import Run

        return _from_run(Run.load(path), progress, ensemble)
    if not path.exists() and path.suffix != ".onnx":
        raise InputError(
            f"{path}: no such run or model; write a run with: `search(task='mnist1d', out={str(path)!r})`"
        )
    if ensemble is not None:
        raise InputError(f"`ensemble` is for runs: {path} is an ONNX model; leave it out")
    model, replaceable = with_constant_weights(read_onnx(path))
    if replaceable:
        several = f" and {len(replaceable) - 1} more are" if len(replaceable) > 1 else " is"
        progress(f"{replaceable[0]}{several} both weight and input of {path.name}: taken as weights")
    model = _with_shapes(model, input_shapes, path, progress)
    padded = with_explicit_pads(model)
    if padded is None:
        runtime, original = _in_onnx_runtime(path, model, path), path.read_bytes()
    else:
        progress(
            "writing out the padding of convolutions with dilation, since ONNX Runtime refuses auto_pad there"
        )
        model = padded
        original = serialized(model)
        runtime = _in_onnx_runtime(path, model, original)
    current = with_current_opset(model, path)
    if current is not model:
        progress(
            f"{path.name} has opset {model.opset_imports['']}: converted to {OPSET}, with the same outputs"
        )
    return Source(
        path=path,
        model=current,
        original=original,
        reference=_onnx_reference(path, runtime),
        reference_name=f"{path.name} in {runtime.describe()}",
        precision=source_precision(current),
        unoptimized=lambda: (
            OnnxRuntime(path if padded is None else original, optimized=False, arena="none").run
        ),
    )


def _with_shapes(
    model: ir.Model, shapes: Mapping[str, tuple[int, ...]], path: Path, progress: Progress
) -> ir.Model:
    """The model with fixed shapes; its batch stays dynamic where the model runs on another one as well."""
    dynamic = with_input_shapes(model, shapes)
    fixed = with_input_shapes(model, shapes, batch=True)
    if not shapes:
        return dynamic
    runtimes = []
    for shaped in (fixed, dynamic):
        try:
            runtimes.append(OnnxRuntime(serialized(with_explicit_pads(shaped) or shaped)))
        except InputError as error:
            _in_onnx_runtime(path, model, path)  # what does not load without them, either, is refused by that
            raise InputError(
                f"`input_shapes`: {first_line(error)}; a part of {path} does not take these shapes, "
                "maybe the branch of an If: choose others, or leave them out"
            ) from error
    one, any_batch = (ExampleInputs.of(runtime.run, runtime.inputs) for runtime in runtimes)
    # The batch is an axis that is still dynamic; states may come first, with layers on theirs.
    free = [spec.name for spec in runtimes[1].inputs if spec.shape and isinstance(spec.shape[0], str)]
    first = next((shapes[name][0] for name in free if name in shapes), None)
    if first is None:
        return dynamic
    if any_batch.runs(runtimes[1].run, first + 1) or not one.runs(runtimes[0].run, first):
        return dynamic
    progress(f"{path.name} runs with batch {first} and not with {first + 1}: its batch is fixed")
    return fixed


def _in_onnx_runtime(path: Path, model: ir.Model, content: Path | bytes) -> OnnxRuntime:
    """A model in ONNX Runtime, which has no convolution in double precision or bfloat16 on a CPU.

    Args:
        path: the user's file.
        model: what is in it.
        content: the file, or the bytes that are run in its place.
    """
    try:
        return OnnxRuntime(content, arena="none")
    except InputError as error:
        for node in model.graph.all_nodes():
            kind = node.inputs[1].dtype if is_operator(node, "Conv") and node.inputs[1] is not None else None
            if kind in (ir.DataType.DOUBLE, ir.DataType.BFLOAT16):
                raise InputError(
                    f"{path}: convolution {node.name!r} computes in {kind.name.lower()}, for which ONNX "
                    "Runtime has no kernel; export the model in float32 (in PyTorch: `model.float()`)"
                ) from error
        raise


def _from_run(run: Run, progress: Progress, ensemble: bool | None) -> Source:
    if ensemble is not None and run.members == 1:
        raise InputError(
            f"`ensemble` has no effect: {run.path} has one network alone; leave it out, or search with `ensemble=5`"
        )
    together = run.members > 1 and ensemble is not False
    samples_path = run.path / SAMPLES_NAME
    samples, targets = {}, None
    if samples_path.is_file():
        with np.load(samples_path, allow_pickle=False) as file:
            samples = {INPUT_NAME: file["inputs"]}
            targets = file.get("targets")  # earlier runs have none
    source = from_modules(
        run.path,
        run.ensemble_model() if together else run.searched_model(),
        run.backbone_model(),
        tuple(run.config["input_shape"]),
        progress,
        single=run.searched_model() if together else None,
    )
    return replace(
        source,
        members=run.members if together else 1,
        labels=list(run.config.get("labels", [])),
        multi_label=run.config.get("kind") == "multi-label",
        samples=samples,
        targets=targets,
    )


def from_modules(
    path: Path,
    searched: nn.Module,
    backbone: nn.Module | None,
    input_shape: tuple[int, ...],
    progress: Progress = silent,
    *,
    single: nn.Module | None = None,
) -> Source:
    """A source of torch modules of one input and one output.

    Args:
        path: where they come from, for the manifest.
        searched: what is compiled, in evaluation mode.
        backbone: the unsearched one, in evaluation mode; None if there is none.
        input_shape: [channels, *spatial], without the batch.
        progress: a function that gets a line for each step.
        single: the first member where `searched` is an ensemble, in evaluation mode.
    """
    import torch

    sample = torch.zeros(2, *input_shape)

    def to_onnx(module: nn.Module, what: str) -> ir.Model:
        progress(f"exporting {what} to ONNX")
        return from_torch(module, sample, input_name=INPUT_NAME, output_name=OUTPUT_NAME)

    return Source(
        path=path,
        model=to_onnx(searched, "the searched model" if single is None else "the ensemble"),
        original=None,
        reference=_torch_reference(searched),
        reference_name=f"PyTorch {torch.__version__.partition('+')[0]}",
        module=searched,
        backbone=None if backbone is None else to_onnx(backbone, "the original backbone"),
        single=None if single is None else to_onnx(single, "its first member"),
    )


def _onnx_reference(path: Path, runtime: Runtime) -> Reference:
    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return runtime.run(feeds)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path} itself does not run on random inputs ({shapes}): {reason}; if its "
                "inputs are too short, fix their shape with `input_shapes=NAME=1,C,N`"
            ) from error

    return run


def _torch_reference(module: nn.Module) -> Reference:
    import torch

    @torch.inference_mode()
    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {OUTPUT_NAME: module(torch.from_numpy(np.asarray(feeds[INPUT_NAME]))).numpy()}

    return run
