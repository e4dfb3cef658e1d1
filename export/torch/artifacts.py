"""Writes TorchScript and torch.export files into a bundle's folder, each checked in a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import PT2_NAME, TORCHSCRIPT_NAME
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import GateError, InputError
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.engines.sidecar import SIDECAR_FORMAT
from dashdeploy.export.frontend.source import INPUT_NAME, OUTPUT_NAME, Source
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.torch.fresh_process import run_fresh
from dashdeploy.export.torch.model import lower_module, save_pt2, save_torchscript
from dashdeploy.export.verify.parity import TOLERANCE, expectation
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.progress import Progress, silent


class TorchSidecar(BaseModel):
    """The content of ``model.ts.json`` and ``model.pt2.json``.

    Attributes:
        format_version: this format's version.
        file: the model's file.
        sha256: of the file.
        torch: the version that wrote it; older ones may not load it.
        precision: always ``fp32``: the precision of an export is that of its ONNX model.
        layers: how every convolution is computed.
        parity: how the file, loaded in a fresh process, agrees with the reference.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: int = SIDECAR_FORMAT
    file: str
    sha256: str
    torch: str
    precision: str = "fp32"
    layers: dict[str, str]
    parity: Parity


def check_torch_artifacts(source: Source, settings: ArtifactSettings) -> None:
    """Find out before long work whether the torch artifacts can be written.

    Raises:
        InputError: they were asked for, and the source is an ONNX model.
    """
    for parameter, wanted in (("torchscript", settings.torchscript), ("pt2", settings.pt2)):
        if wanted and source.module is None:
            raise InputError(
                f"`{parameter}` needs a run: {source.path} is an ONNX model and has no torch module"
            )


def write_torch_files(
    folder: Path,
    source: Source,
    plan: Plan,
    lowerings: Mapping[str, Lowering],
    settings: ArtifactSettings,
    progress: Progress = silent,
) -> None:
    """Write ``model.ts`` and ``model.pt2`` with their sidecars, as far as they were asked for.

    Args:
        folder: the bundle that is being written.
        source: the run.
        plan: how the layers of the ONNX model are computed.
        lowerings: those of them that are not direct, by name.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Raises:
        GateError: a file does not run with plain torch, or does not agree with the reference.
    """
    module = source.module
    if module is None or not (settings.torchscript or settings.pt2):
        return
    lowered = lower_module(module, lowerings, {layer.name: layer.spec for layer in plan.layers})
    axes = source.model.graph.inputs[0].shape
    assert axes is not None
    shape = [int(axis) for axis in list(axes)[1:] if isinstance(axis, int)]
    sample = torch.zeros(2, *shape)
    writers = ((settings.torchscript, TORCHSCRIPT_NAME, save_torchscript), (settings.pt2, PT2_NAME, save_pt2))
    for wanted, name, save in writers:
        if wanted:
            progress(f"writing {name} and checking it in a fresh process")
            save(lowered.module, sample, folder / name)
            sidecar = TorchSidecar(
                file=name,
                sha256=sha256_of(folder / name),
                torch=torch.__version__,
                layers=lowered.layers,
                parity=_check(folder / name, source, shape),
            )
            text = sidecar.model_dump_json(indent=2) + "\n"
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _check(file: Path, source: Source, shape: list[int]) -> Parity:
    spec = TensorSpec(name=INPUT_NAME, shape=("batch", *shape), dtype="float32")
    expected = expectation(source, (spec,), source.samples)
    sets = expected.sets
    results = run_fresh(file, {str(number): feeds[INPUT_NAME] for number, (_, feeds) in enumerate(sets)})
    got = [{OUTPUT_NAME: results[str(number)]} for number in range(len(sets))]
    parity = expected.compare(got, "fp32", TOLERANCE["fp32"])
    if parity.failed:
        raise GateError(
            f"{file.name}, loaded in a fresh process, differs from {source.reference_name} by {parity.worst:.2e}, "
            f"tolerance {parity.tolerance:.0e}; nothing was written; try `lowering=direct`"
        )
    return parity
