"""Torch and ONNX Runtime on this machine's GPU: candidates are timed there, by CUDA's events or with bound values.

Written against the documented APIs; no GPU has run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.absent import profile_of
from dashdeploy.export.targets.base import Target
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.torch.device import require_cuda
from dashdeploy.runtimes.torch.program import TorchProgram


class OrtCudaTarget(Target):
    """ONNX Runtime's CUDA execution provider, without TF32.

    Args:
        gpu: the GPU's name.
    """

    name = TargetName.ORT_CUDA
    present: ClassVar[bool] = True

    def __init__(self, gpu: str) -> None:
        self._gpu, self._version = gpu, OnnxRuntime.engine_version()

    def describe(self) -> str:
        """Engine, version and device."""
        return f"ONNX Runtime {self._version} with CUDA, {self._gpu}, without TF32"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model.

        Raises:
            MissingCapabilityError: this onnxruntime has no CUDA.
        """
        return OnnxRuntime(model, device="cuda")

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the published rates of this GPU, or of one like it: which candidates are worth a measurement."""
        return profile_of(self._gpu).seconds(lowering, spec)


class TorchCudaTarget(Target):
    """Torch on this machine's first GPU: candidates and whole networks are its modules, without TF32.

    Models in ONNX's format, which are the bundle's portable ones, run in ONNX Runtime on the CPU.

    Args:
        device: ``cuda``; a test on a machine without a GPU takes ``cpu``.

    Raises:
        MissingCapabilityError: torch has no GPU.
    """

    name = TargetName.TORCH_CUDA
    present: ClassVar[bool] = True
    runs_modules: ClassVar[bool] = True
    fuses_groups: ClassVar[bool] = False

    def __init__(self, device: str = "cuda") -> None:
        import torch

        if device == "cuda":
            require_cuda()
        self._device = device
        self._gpu = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
        self._version = torch.__version__.partition("+")[0]

    def describe(self) -> str:
        """Engine, version and device."""
        return f"torch {self._version}, {self._gpu}, without TF32"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model, on the CPU."""
        return OnnxRuntime(model)

    def load_module(
        self,
        module: Any,  # noqa: ANN401 - a torch module; torch is imported late
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> Runtime:
        """A copy of a torch module on the GPU."""
        import copy

        moved = copy.deepcopy(module).to(self._device).eval()
        return TorchProgram(moved, inputs, outputs, device=self._device)

    def load_layer(
        self, lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None
    ) -> Runtime:
        """One convolution as the torch module that a lowered network has in its place."""
        from dashdeploy.export.torch.layers import direct_layer, torch_layer

        layer = torch_layer(lowering, spec, weight, bias)
        if layer is None:
            layer = direct_layer(spec, weight, bias)
        specs = [
            TensorSpec(name=name, shape=("batch", channels, *spatial), dtype=spec.dtype)
            for name, channels, spatial in (
                ("x", spec.in_channels, spec.spatial),
                ("y", spec.out_channels, spec.out_spatial),
            )
        ]
        return self.load_module(layer, specs[:1], specs[1:])

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the published rates of this GPU, or of one like it: which candidates are worth a measurement."""
        return profile_of(self._gpu).seconds(lowering, spec)
