"""The options of ``export``: how to plan, what to write, and for whom."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dashdeploy.cli.options.groups import OptionGroup
from dashdeploy.cli.options.values import byte_size, input_shapes, state_pairs
from dashdeploy.runtimes.names import TargetName


class BundleFolder(OptionGroup, panel="Bundle"):
    """What is written, and under which name."""

    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle to write. It appears complete or not at all.")
    ] = None
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name for clients; otherwise the folder's name.")
    ] = None
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape", metavar="NAME=1,1,1000", help="Fix the shape of an input. You can repeat it."
        ),
    ] = None
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="INPUT=OUTPUT",
            help="A state: the output holds the next value of the input, and servers keep it. You can "
            "repeat it; auto "
            "finds all pairs.",
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False

    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The fixed shapes by input.

        Raises:
            InputError: one is not a shape.
        """
        return input_shapes("--input-shape", self.input_shape or [])

    def states(self) -> dict[str, str] | Literal["auto"]:
        """The output by the input that holds a state.

        Raises:
            InputError: one is not a pair of names.
        """
        return state_pairs("--state", self.state or [])


class Planning(OptionGroup, panel="Plan"):
    """What the plan is made for; the fields are those of `ExportSettings`."""

    target: Annotated[
        TargetName,
        typer.Option("--target", help="The engine to compile for. CPU engines are measured on this machine."),
    ] = TargetName.ORT_CPU
    engines: Annotated[
        str | None,
        typer.Option(
            "--engines",
            metavar="NAME,NAME",
            help="With --target auto: the engines to compare. The fastest one is kept. The default is every "
            "installed "
            "CPU engine.",
        ),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The GPU to plan for, with --tune estimate: h100, a100, l4, rtx-4090 or orin.",
        ),
    ] = None
    batch: Annotated[int, typer.Option("--batch", min=1, help="The batch size that the plan is for.")] = 1
    lowering: Annotated[
        Literal["auto", "direct", "fft"],
        typer.Option(
            "--lowering",
            help="auto takes the cheapest form for each layer; direct and fft force one where possible.",
        ),
    ] = "auto"
    tune: Annotated[
        Literal["measure", "estimate"],
        typer.Option(
            "--tune",
            help="How to find the costs: run each candidate (measure), or count its operations (estimate).",
        ),
    ] = "measure"
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="The number of threads for measurements.")
    ] = 1
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="The most memory, such as 4G, that ONNX Runtime may use for a candidate or a timed model. "
            "The default "
            "is half of the free memory.",
            show_default=False,
        ),
    ] = None
    ensemble: Annotated[
        bool | None,
        typer.Option(
            "--ensemble/--no-ensemble",
            help="For a run with an ensemble: export all members as one model (the default), or only the first.",
            show_default=False,
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The fields of `ExportSettings`.

        Raises:
            InputError: one is wrong.
        """
        words = [] if self.engines is None else [word.strip() for word in self.engines.split(",")]
        memory = None if self.memory is None else byte_size("--memory", self.memory)
        return {**self.values(), "engines": tuple(words), "memory": memory}


class Precision(OptionGroup, panel="Precision"):
    """How exact the model is; the fields are those of `ExportSettings`."""

    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"],
        typer.Option(
            "--precision",
            help="The precision of the ONNX model and its engines; torch files stay fp32. bf16 needs OpenVINO.",
        ),
    ] = "fp32"
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            metavar="FILE.npz",
            help="Real inputs, one array for each input; they are used for parity, int8 and sample.json.",
        ),
    ] = None
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE.npz",
            help="Inputs for the calibration of int8. The default is the samples, which a run has.",
        ),
    ] = None
    max_accuracy_drop: Annotated[
        float,
        typer.Option(
            "--max-accuracy-drop",
            min=0,
            max=1,
            help="The largest drop of the accuracy on the run's validation samples.",
        ),
    ] = 0.01


class Artifacts(OptionGroup, panel="Further artifacts"):
    """Models beside the ONNX model; the fields are those of the settings of artifacts."""

    torchscript: Annotated[
        bool, typer.Option("--torchscript", help="Write model.ts for a run: TorchScript.")
    ] = False
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2 for a run: torch.export.")] = False
    fixed_batch: Annotated[
        int | None,
        typer.Option(
            "--fixed-batch",
            metavar="N",
            min=1,
            help="Write model.batch-N.onnx: for engines and converters that want every size.",
            show_default=False,
        ),
    ] = None
    trt_rtx: Annotated[
        bool, typer.Option("--trt-rtx", help="Build model.rtx with TensorRT-RTX. This works without a GPU.")
    ] = False
    trt: Annotated[
        bool, typer.Option("--trt", help="Build model.engine with TensorRT, for this machine's GPU.")
    ] = False


class Engines(OptionGroup, panel="Further artifacts"):
    """What the TensorRT engines are built for."""

    compute_capabilities: Annotated[
        str,
        typer.Option(
            "--compute-capabilities", help="The compute capabilities of the GPUs that model.rtx is for."
        ),
    ] = "8.0,8.6,8.9,12.0"
    engine_batches: Annotated[
        str,
        typer.Option(
            "--engine-batches",
            metavar="MIN,OPT,MAX",
            help="The smallest, usual and largest batch of TensorRT engines.",
        ),
    ] = "1,8,32"

    def given(self, written: Collection[str]) -> dict[str, str]:
        """The options that stand on the command line, by name: for a fixed batch, the default is not a wish.

        Args:
            written: the names of all options there.
        """
        return {name: value for name, value in self.values().items() if name in written}


class Deployment(OptionGroup, panel="Deployment"):
    """Servers that the bundle is prepared for; the fields are those of the settings of artifacts."""

    triton_repository: Annotated[
        Path | None,
        typer.Option(
            "--triton-repository",
            metavar="DIR",
            help="Add the model to a Triton model repository; the folder may exist.",
        ),
    ] = None
    kserve: Annotated[
        Path | None,
        typer.Option("--kserve", metavar="FILE.yaml", help="Write a KServe InferenceService."),
    ] = None
    storage_uri: Annotated[
        str, typer.Option("--storage-uri", help="The address at which KServe finds the Triton repository.")
    ] = "pvc://models/repository"
    web: Annotated[
        Path | None,
        typer.Option(
            "--web",
            metavar="DIR",
            help="Write a static web site that predicts in the browser. You can then omit --out.",
        ),
    ] = None
