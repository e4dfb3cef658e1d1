"""Compiles a module, an ONNX file or a run: the whole of export as one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import nn

from dashdeploy.artifacts.atomic import check_writable
from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.export.frontend.source import INPUT_NAME, from_modules
from dashdeploy.export.pipeline import export, export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Example = torch.Tensor | npt.NDArray[np.generic]


def compile(
    model: Run | nn.Module | str | Path,
    example_input: Example | None = None,
    *,
    out: str | Path,
    target: str = TargetName.ORT_CPU,
    progress: Progress = silent,
    **settings: object,
) -> Bundle:
    """Compile a run, a torch module or an ONNX file into a bundle.

    Args:
        model: a run, as `dashdeploy.search` returns it, or its path; a module of one floating-point input and one
            output; or the path of an ONNX model.
        example_input: an input, [batch, channels, *spatial]; any batch, which stays dynamic. A module needs it, and
            is checked on it, too; an ONNX model of one input takes from it the sizes that it leaves open. A run
            knows its own.
        out: the bundle's folder; it must not exist.
        target: the engine to compile for, one of `TargetName`.
        progress: a function that gets a line for each step.
        settings: further fields of `ExportSettings`, such as ``threads=4`` or ``precision="fp16"``.

    Returns:
        The bundle; `Bundle.path` is its folder.

    Raises:
        InputError: the model, the example or a setting is wrong.
        MissingCapabilityError: this machine lacks a package or a device.
        GateError: the compiled model does not agree with the original.

    Example:
        A run, a file, and a module::

            bundle = dashdeploy.compile(run, out="bundle")
            bundle = dashdeploy.compile("model.onnx", out="bundle", threads=4)
            bundle = dashdeploy.compile(module, example_input, out="bundle", precision="fp16")
    """
    chosen = _settings({"target": target, **settings})
    folder = Path(out)
    if isinstance(model, nn.Module):
        if example_input is None:
            raise InputError("compile: a torch module needs an example_input, [batch, channels, *spatial]")
        check_writable(folder)
        return _compile_module(model, torch.as_tensor(example_input), folder, chosen, progress)
    path = model.path if isinstance(model, Run) else Path(model)
    if example_input is not None and path.is_file():
        runtime = OnnxRuntime(path)
        if len(runtime.inputs) != 1:
            raise InputError(
                f"compile: {path} has {len(runtime.inputs)} inputs; fix their shapes with input_shapes={{...}}"
            )
        shapes = {
            runtime.inputs[0].name: tuple(int(size) for size in example_input.shape),
            **chosen.input_shapes,
        }
        chosen = chosen.model_copy(update={"input_shapes": shapes})
    return export(path, folder, chosen, progress=progress)


def _settings(values: dict[str, object]) -> ExportSettings:
    try:
        return ExportSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(ExportSettings.model_fields)
        raise InputError(
            f"compile: {'.'.join(map(str, first['loc']))}: {first['msg']}; the settings are {known}"
        ) from error


def _compile_module(
    module: nn.Module,
    example: torch.Tensor,
    folder: Path,
    settings: ExportSettings,
    progress: Progress,
) -> Bundle:
    if example.dtype != torch.float32 or example.ndim < 2 or example.shape[0] < 1:
        raise InputError(
            f"compile: the example is {example.dtype} of shape {list(example.shape)}; "
            "it must be float32, [batch, channels, *spatial]"
        )
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            output = module(example)
        if not isinstance(output, torch.Tensor):
            raise InputError(
                f"compile: the module returns {type(output).__name__}; it must return one tensor"
            )
        name = Path(type(module).__name__)
        source = from_modules(name, module, None, tuple(example.shape[1:]), progress)
        source = replace(source, samples={INPUT_NAME: example.detach().cpu().numpy()})
        return export_source(source, folder, settings, progress=progress)
    finally:
        module.train(was_training)
