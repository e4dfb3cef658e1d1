"""Checks a Triton model repository: every configuration parses and fits the models that lie beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.states import states_problem
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.triton import ONNX, recorded_hashes
from dashdeploy.export.deploy.triton_config import CONFIG_NAME, dims, parse_config, type_of
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Note = Callable[[str, str], None]


def check_repository(path: Path, note: Note) -> None:
    """Check every model of a repository, or one model.

    Args:
        path: the repository's folder, or a model's within it.
        note: told each check and what it found.

    Raises:
        InputError: something is wrong; the message names file and line, or what does not fit.
    """
    models = (
        [path]
        if (path / CONFIG_NAME).is_file()
        else sorted(child for child in path.iterdir() if child.is_dir())
    )
    for model in models:
        config = parse_config(model / CONFIG_NAME)
        note(f"{model.name}: {CONFIG_NAME}", "parses as Triton's ModelConfig")
        if config.name != model.name:
            raise InputError(
                f"{model / CONFIG_NAME}: the name is {config.name!r}, but the folder's is {model.name!r}"
            )
        for output in config.output:
            if output.label_filename and not (model / output.label_filename).is_file():
                raise InputError(f"{model / CONFIG_NAME}: {output.label_filename} is missing")
        versions = sorted(
            int(child.name) for child in model.iterdir() if child.is_dir() and child.name.isdigit()
        )
        if not versions:
            raise InputError(f"{model} has no version: a folder with a number for its name")
        for version in versions:
            _check_version(model / str(version), config, note)


def _check_version(folder: Path, config: Any, note: Note) -> None:  # noqa: ANN401 - a protobuf message
    file = folder / config.default_model_filename
    if not config.default_model_filename or not file.is_file():
        raise InputError(
            f"{folder} has no {config.default_model_filename or 'model'}, which {CONFIG_NAME} asks for"
        )
    digest = sha256_of(file)
    recorded = recorded_hashes(config).get(int(folder.name))
    if recorded is None:
        raise InputError(
            f"{folder}: {CONFIG_NAME} has no sha256 of this version: dashdeploy did not write it"
        )
    if digest != recorded:
        raise InputError(f"{file} does not match the sha256 in {CONFIG_NAME}: it was changed; write it again")
    title = f"{folder.parent.name}: version {folder.name}"
    if config.backend != ONNX.backend:
        note(title, f"sha256 {digest[:12]}")
        return
    runtime, place = OnnxRuntime(file), folder.parent / CONFIG_NAME
    states = {state.input_name: state for state in config.sequence_batching.state}
    given = {tensor.name: tensor for tensor in config.input} | states
    next_states = {state.output_name for state in states.values()}
    problem = states_problem(
        {name: state.output_name for name, state in states.items()}, runtime.inputs, runtime.outputs
    )
    if problem is not None:
        raise InputError(f"{place}: {problem}; write it again with `triton_repository`")
    outputs = [spec for spec in runtime.outputs if spec.name not in next_states]
    described = {tensor.name: tensor for tensor in config.output}
    batched = config.max_batch_size > 0
    _check_tensors(place, "input", runtime.inputs, given, batched=batched)
    _check_tensors(place, "output", outputs, described, batched=batched)
    note(title, f"sha256 {digest[:12]}, inputs and outputs as {CONFIG_NAME} says")


def _check_tensors(
    config: Path,
    what: str,
    specs: Sequence[TensorSpec],
    described: Mapping[str, Any],
    *,
    batched: bool,
) -> None:
    wanted = {spec.name: (type_of(spec), dims(spec, batched=batched)) for spec in specs}
    found = {name: (tensor.data_type, list(tensor.dims)) for name, tensor in described.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{config} does not describe the model's {what} {name}")
        if name not in wanted:
            raise InputError(f"{config}: the model has no {what} {name!r}; it has {', '.join(wanted)}")
        if wanted[name] != found[name]:
            raise InputError(
                f"{config}: {what} {name} has type {found[name][0]} and dims {found[name][1]}, but the model's "
                f"has type {wanted[name][0]} and dims {wanted[name][1]}"
            )
