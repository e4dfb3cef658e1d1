"""TensorRT on this machine's GPU: candidates become engines of one layer and are timed there.

Written against the documented API and not run: TensorRT needs a GPU.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from dashdeploy.export.engines.builder import build_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.absent import profile_of
from dashdeploy.export.targets.base import Target
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.tensorrt import TensorRT
from dashdeploy.runtimes.tensorrt_flavors import Flavor


class TensorRTTarget(Target):
    """Either flavor of TensorRT.

    Args:
        name: the flavor's name among the targets.
        flavor: which.
        batch: samples per call that the costs are for.

    Raises:
        MissingCapabilityError: the package, the driver or the GPU is missing.
    """

    present: ClassVar[bool] = True

    def __init__(self, name: TargetName, flavor: Flavor, batch: int) -> None:
        self.name = name
        self._flavor = flavor
        self._version = flavor.load(to_run=True).__version__
        self._gpu = find_gpus()[0][0]
        self._settings = EngineSettings(
            compute_capabilities=(self._gpu.compute_capability,), batches=(1, batch, max(batch, 32))
        )

    def describe(self) -> str:
        """Engine, version and device."""
        return f"{self._flavor.title} {self._version}, {self._gpu.name}"

    def load(self, model: bytes) -> Runtime:
        """Build the engine of a serialized ONNX model, and load it."""
        with TemporaryDirectory() as folder:
            onnx, engine = Path(folder) / "model.onnx", Path(folder) / self._flavor.file_name
            onnx.write_bytes(model)
            engine.write_bytes(build_engine(onnx, self._flavor, self._settings).content)
            return TensorRT(engine, self._flavor)

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the published rates of this GPU, or of one like it: which candidates are worth a measurement."""
        return profile_of(self._gpu.name).seconds(lowering, spec)
