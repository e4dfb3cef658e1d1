"""The two flavors of TensorRT: what differs between them."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.names import EngineName


@dataclass(frozen=True)
class Flavor:
    """One flavor.

    Attributes:
        engine: its name among the engines.
        title: what people call it.
        module: what Python imports.
        extra: the extra of dashdeploy that installs it.
        parameter: what asks export for its engine.
        file_name: the engine's file in a bundle.
        ahead_of_time: whether it builds for other GPUs than this machine's, and so without one.
    """

    engine: EngineName
    title: str
    module: str
    extra: str
    parameter: str
    file_name: str
    ahead_of_time: bool

    @property
    def sidecar_name(self) -> str:
        """The file that describes the engine."""
        return f"{self.file_name}.json"

    def load(self, *, to_run: bool = False) -> Any:  # noqa: ANN401 - a module without type information
        """Import the package, after asking the driver where one is needed.

        Without a driver plain TensorRT may crash the process instead of raising, so the driver is asked first.

        Args:
            to_run: whether engines are to be run, for which both flavors need a GPU.

        Raises:
            MissingCapabilityError: the package, the driver or the GPU is missing; all that is missing is named.
        """
        missing = []
        try:
            found = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            missing.append(f"the package (pip install 'dashdeploy[{self.extra}]')")
        if to_run or not self.ahead_of_time:
            gpus, reason = find_gpus()
            if not gpus:
                missing.append(f"an NVIDIA GPU with its driver ({reason})")
        if missing:
            raise MissingCapabilityError(f"{self.title} needs {' and '.join(missing)}")
        try:
            return importlib.import_module(self.module)
        except Exception as error:  # a broken installation raises whatever it likes
            raise MissingCapabilityError(
                f"{self.title} is installed but cannot be imported: {' '.join(str(error).split())}; "
                f"install it again: pip install --force-reinstall 'dashdeploy[{self.extra}]'"
            ) from error


TENSORRT = Flavor(
    EngineName.TENSORRT,
    title="TensorRT",
    module="tensorrt",
    extra="trt",
    parameter="trt",
    file_name="model.engine",
    ahead_of_time=False,
)
RTX = Flavor(
    EngineName.TENSORRT_RTX,
    title="TensorRT-RTX",
    module="tensorrt_rtx",
    extra="trt-rtx",
    parameter="trt_rtx",
    file_name="model.rtx",
    ahead_of_time=True,
)
FLAVORS = (TENSORRT, RTX)
