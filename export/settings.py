"""What a user may choose about an export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.runtimes.names import TargetName


class ExportSettings(FrozenModel):
    """Settings of one export.

    Example:
        `dashdeploy.compile` takes them by name::

            bundle = dashdeploy.compile("model.onnx", out="bundle", precision="fp16", threads=4)

    Attributes:
        target: the engine that the plan is made for; ``auto`` compiles for several and keeps the fastest.
        engines: for ``auto``, the engines to compare, by their names as targets; empty compares every installed
            CPU engine.
        device: the GPU to plan for if this machine does not have it; see `targets.absent.DEVICES`.
        lowering: ``auto`` takes the cheaper lowering per layer; ``direct`` and ``fft`` force one wherever it
            is possible, and skip the speed gate.
        tune: ``measure`` runs every candidate on the target; ``estimate`` counts multiply-adds and bytes.
        batch: samples per call, for which the costs are measured.
        threads: threads within one operator, for the speed gate. Candidates for ONNX Runtime and OpenVINO are
            measured with one.
        name: the model's name for clients; None takes the bundle folder's name.
        input_shapes: fixed shapes for inputs whose spatial axes are dynamic, by input name.
        memory: the most bytes that a candidate, or a model that is timed, may take for the values in between, with
            ONNX Runtime; None is half of what is free.
        precision: the element types of the ONNX model that is written; ``bf16`` leaves it in float32, and OpenVINO
            computes it in bfloat16.
        samples: an ``.npz`` file of real inputs for a model that is not a run: parity is checked, the speed gate
            timed and int8 calibrated on them, and ``sample.json`` has the first one.
        calibration: an ``.npz`` file for int8; None takes the samples.
        max_accuracy_drop: by how much the accuracy on the validation samples may be lower than the reference's,
            as a share.
        ensemble: for a run with an ensemble, whether to export all members as one model, or only the first; None
            is all.
        states: the output that is the next value of each input that holds a state, by the input's name; ``"auto"``
            takes the pairs that names and shapes tell. A server then keeps them from one request of a sequence to
            the next.
        artifacts: the files to write besides the ONNX model.
    """

    target: TargetName = TargetName.ORT_CPU
    engines: tuple[str, ...] = ()
    device: str | None = None
    batch: int = Field(default=1, ge=1)
    lowering: Literal["auto", "direct", "fft"] = "auto"
    tune: Literal["measure", "estimate"] = "measure"
    threads: int = Field(default=1, ge=1)
    name: str | None = None
    input_shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    memory: int | None = Field(default=None, ge=1)
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    samples: Path | None = None
    calibration: Path | None = None
    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1)
    ensemble: bool | None = None
    states: dict[str, str] | Literal["auto"] = Field(default_factory=dict)
    artifacts: ArtifactSettings = Field(default_factory=ArtifactSettings)
