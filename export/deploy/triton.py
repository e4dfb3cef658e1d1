"""Writes a bundle into a Triton model repository, as Triton's user guide lays it out.

    DIR/NAME/config.pbtxt, DIR/NAME/labels.txt, DIR/NAME/1/model.onnx
    DIR/NAME-tensorrt/…/1/model.plan      the plain TensorRT engine, where the bundle has one

A model that is there already gets the next version, if it is the same model (see `model_identity`) with the same
interface.
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
from dashdeploy.export.deploy.model_identity import ModelIdentity
from dashdeploy.export.deploy.triton_config import (
    CONFIG_NAME,
    LABELS_NAME,
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


@dataclass(frozen=True)
class Step:
    """What is written of one variant.

    Attributes:
        variant: of the bundle.
        folder: the model's.
        is_new: whether the repository has no model of this name.
        version: the new one; None where the repository holds this model already.
        config: the text of ``config.pbtxt``; None leaves the one that is there.
    """

    variant: Variant
    folder: Path
    is_new: bool
    version: int | None
    config: str | None


def write_triton_repository(
    bundle: Bundle,
    repository: Path,
    batches: tuple[int, int, int],
    progress: Progress = silent,
    *,
    named: bool = False,
    batches_given: bool = False,
) -> None:
    """Put the bundle's models into `repository`: all of them, or none where one is refused.

    Args:
        bundle: a bundle.
        repository: the repository; it is made where it is missing.
        batches: smallest, most usual and largest batch, as of the engines.
        progress: a function that gets a line for each step.
        named: whether the user named the model; otherwise a model that came from another source, or is another
            network, is another model.
        batches_given: whether the user chose `batches`; then a model that is there already gets them, too.

    Raises:
        InputError: a model of this name with other inputs, outputs, labels, source or network is there, or the
            folder cannot be written.
        MissingCapabilityError: tritonclient, which knows Triton's configuration, is not installed.
    """
    identity, batched = ModelIdentity.of(bundle), _may_batch(bundle)
    steps = []
    for variant in _variants(bundle):
        folder = repository / variant.name
        known = _known_versions(folder)
        latest, digest = max(known, default=0), sha256_of(variant.file)
        is_there = bool(known) and digest == known[latest]
        version = None if is_there else max(known, default=int(bundle.manifest.version) - 1) + 1
        hashes = known if version is None else {**known, version: digest}
        config = triton_config(
            bundle.manifest,
            variant.name,
            variant.kind,
            batches,
            hashes,
            batched=batched,
            identity=identity.parameters(),
        )
        if known and version is not None:
            _refuse_another_interface(folder, config, bundle)
            _check_identity(folder, identity, bundle, progress if named else None)
        if is_there:
            progress(f"{folder} holds this model already, as version {latest}")
        steps.append(
            Step(variant, folder, not known, version, None if is_there and not batches_given else config)
        )
    for step in steps:
        _write(step, bundle, progress)


def _write(step: Step, bundle: Bundle, progress: Progress) -> None:
    folder, file_name = step.folder, step.variant.kind.file_name
    if step.version is not None:
        progress(f"writing version {step.version} of {folder}")
        if step.is_new:
            with atomic_directory(folder) as fresh:
                (fresh / str(step.version)).mkdir()
                shutil.copyfile(step.variant.file, fresh / str(step.version) / file_name)
                _write_labels(fresh, bundle)
                (fresh / CONFIG_NAME).write_text(str(step.config), encoding="utf-8")
            return
        with atomic_directory(folder / str(step.version)) as fresh:
            shutil.copyfile(step.variant.file, fresh / file_name)
    if step.config is not None:
        write_text_atomically(folder / CONFIG_NAME, step.config)


def _may_batch(bundle: Bundle) -> bool:
    """A dynamic first axis may be a length along which the model mixes its rows: the model is asked."""
    runtime, manifest = OnnxRuntime(bundle.path / MODEL_NAME), bundle.manifest
    probe = warm_up(runtime, manifest.inputs)
    return probe is not None and has_batch_axis(runtime, manifest.inputs, manifest.outputs, probe)


def _variants(bundle: Bundle) -> Iterator[Variant]:
    name = bundle.manifest.name
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InputError(
            f"the name {name!r} is not a folder of a Triton repository; choose another one with `name`"
        )
    yield Variant(name, ONNX, bundle.path / MODEL_NAME)
    engine = bundle.file(_TENSORRT.file)
    if engine is not None:
        yield Variant(f"{name}-tensorrt", PLAN, engine)


def _known_versions(folder: Path) -> dict[int, str]:
    """The sha256 of every version that the model's configuration names; empty without such a model."""
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


def _refuse_another_interface(folder: Path, config: str, bundle: Bundle) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    wanted = text_format.Parse(config, model_config_pb2.ModelConfig())
    there = parse_config(folder / CONFIG_NAME)
    for mine, theirs, what in (
        (wanted.input, there.input, "inputs"),
        (wanted.output, there.output, "outputs"),
        (wanted.sequence_batching.state, there.sequence_batching.state, "states"),
    ):
        if list(mine) != list(theirs):
            raise InputError(
                f"{folder} serves a model with other {what}: its clients would break; choose another `name`"
            )
    labels = folder / LABELS_NAME  # one file for all versions
    if labels.is_file() and labels.read_text(encoding="utf-8") != _labels_text(bundle):
        raise InputError(
            f"{folder} serves a model with other labels, one file for all versions; choose another `name`"
        )


def _check_identity(folder: Path, identity: ModelIdentity, bundle: Bundle, progress: Progress | None) -> None:
    """Refuse another model, or, where the user named it and `progress` is there, say that it takes the place."""
    there = ModelIdentity.recorded(parse_config(folder / CONFIG_NAME))
    difference = there.difference(identity)
    if difference is None:
        return
    what = f"{folder} holds a model of {there.source}, and this one {difference}"
    if progress is None:
        raise InputError(
            f"{what}; give it a `name` of its own, or say `name={bundle.manifest.name}` if it is a new version of "
            "that model"
        )
    progress(f"{what}: by its name it becomes a new version")


def _write_labels(folder: Path, bundle: Bundle) -> None:
    if bundle.manifest.labels:
        (folder / LABELS_NAME).write_text(_labels_text(bundle), encoding="utf-8")


def _labels_text(bundle: Bundle) -> str:
    return "\n".join(bundle.manifest.labels) + "\n"
