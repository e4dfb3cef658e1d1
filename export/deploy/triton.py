"""Writes a bundle into a Triton model repository, as Triton's user guide lays it out.

    DIR/NAME/config.pbtxt, DIR/NAME/labels.txt, DIR/NAME/1/model.onnx
    DIR/NAME-tensorrt/…/1/model.plan      the plain TensorRT engine, where the bundle has one

A model that is there already gets the next version; its configuration must stay the same to its clients.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.atomic import atomic_directory, sha256_of, write_text_atomically
from dashdeploy.artifacts.bundle import MODEL_NAME, Bundle
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.triton_config import (
    CONFIG_NAME,
    LABELS_NAME,
    SOURCE_PARAMETER,
    ModelKind,
    parse_config,
    triton_config,
)
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.batch_axis import has_batch_axis, warm_up
from dashdeploy.runtimes.engines import ENGINES
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_ORT, _TENSORRT = ENGINES[EngineName.ORT_CPU], ENGINES[EngineName.TENSORRT]
ONNX = ModelKind(_ORT.backend, _ORT.platform, "model.onnx", "KIND_AUTO")
PLAN = ModelKind(_TENSORRT.backend, _TENSORRT.platform, "model.plan", "KIND_GPU")


@dataclass(frozen=True)
class Variant:
    """One model of the repository: a file of the bundle in the form of one of Triton's backends."""

    name: str
    kind: ModelKind
    file: Path


def write_triton_repository(
    bundle: Bundle,
    repository: Path,
    batches: tuple[int, int, int],
    progress: Progress = silent,
    *,
    named: bool = False,
) -> None:
    """Put the bundle's models into `repository`.

    Args:
        bundle: a bundle.
        repository: the repository; it is made where it is missing.
        batches: smallest, most usual and largest batch, as of the engines.
        progress: told what is being done.
        named: whether the user named the model; otherwise a model that came from another source is another model.

    Raises:
        InputError: a model of this name with other inputs, outputs or source is there, or the folder cannot be
            written.
        MissingCapabilityError: tritonclient, which knows Triton's configuration, is not installed.
    """
    batched = _may_batch(bundle)
    for variant in _variants(bundle):
        folder = repository / variant.name
        known = _known_versions(folder)
        version = max(known, default=int(bundle.manifest.version) - 1) + 1
        hashes = {**known, version: sha256_of(variant.file)}
        if known and hashes[version] == known[max(known)]:
            progress(f"{folder} holds this model already, as version {max(known)}")
            continue
        config = triton_config(bundle.manifest, variant.name, variant.kind, batches, hashes, batched=batched)
        progress(f"writing version {version} of {folder}")
        if not known:
            with atomic_directory(folder) as fresh:
                (fresh / str(version)).mkdir()
                shutil.copyfile(variant.file, fresh / str(version) / variant.kind.file_name)
                _write_labels(fresh, bundle)
                (fresh / CONFIG_NAME).write_text(config, encoding="utf-8")
            continue
        _refuse_another_interface(folder, config)
        if not named:
            _refuse_another_source(folder, bundle)
        with atomic_directory(folder / str(version)) as fresh:
            shutil.copyfile(variant.file, fresh / variant.kind.file_name)
        write_text_atomically(folder / CONFIG_NAME, config)


def _may_batch(bundle: Bundle) -> bool:
    """A dynamic first axis may be a length along which the model mixes its rows: the model is asked."""
    runtime, manifest = OnnxRuntime(bundle.path / MODEL_NAME), bundle.manifest
    probe = warm_up(runtime, manifest.inputs)
    return probe is not None and has_batch_axis(runtime, manifest.inputs, manifest.outputs, probe)


def _variants(bundle: Bundle) -> Iterator[Variant]:
    name = bundle.manifest.name
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InputError(
            f"the name {name!r} is no folder of a Triton repository; choose another one with `name`"
        )
    yield Variant(name, ONNX, bundle.path / MODEL_NAME)
    engine = bundle.file(_TENSORRT.file)
    if engine is not None:
        yield Variant(f"{name}-tensorrt", PLAN, engine)


def _known_versions(folder: Path) -> dict[int, str]:
    """The sha256 of every version that the model's configuration names; empty where there is no such model."""
    if not folder.exists():
        return {}
    config = parse_config(folder / CONFIG_NAME)
    return recorded_hashes(config)


def recorded_hashes(config: Any) -> dict[int, str]:  # noqa: ANN401 - a protobuf message
    """The sha256 of each version, as `triton_config` wrote them into the parameters."""
    found = {}
    for key, parameter in config.parameters.items():
        version = key.removeprefix("sha256_of_version_")
        if version != key and version.isdigit():
            found[int(version)] = parameter.string_value
    return found


def _refuse_another_interface(folder: Path, config: str) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    wanted = text_format.Parse(config, model_config_pb2.ModelConfig())
    there = parse_config(folder / CONFIG_NAME)
    for mine, theirs, what in (
        (wanted.input, there.input, "inputs"),
        (wanted.output, there.output, "outputs"),
    ):
        if list(mine) != list(theirs):
            raise InputError(
                f"{folder} serves a model with other {what}: its clients would break; choose another `name`"
            )


def _refuse_another_source(folder: Path, bundle: Bundle) -> None:
    """Two models may have one interface, and bundles are often called alike; older repositories record no source."""
    there = parse_config(folder / CONFIG_NAME).parameters.get(SOURCE_PARAMETER)
    if there is not None and there.string_value != bundle.manifest.source:
        raise InputError(
            f"{folder} holds a model of {there.string_value}, and this one is of {bundle.manifest.source}; give it a "
            f"`name` of its own, or say `name={bundle.manifest.name}` if it is a new version of that model"
        )


def _write_labels(folder: Path, bundle: Bundle) -> None:
    labels = bundle.manifest.labels
    if labels:
        (folder / LABELS_NAME).write_text("\n".join(labels) + "\n", encoding="utf-8")
