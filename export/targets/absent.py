"""Devices that are not here: candidates are estimated from their published peak rates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.base import Target, roofline
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


@dataclass(frozen=True)
class Device:
    """A device's peak rates.

    Attributes:
        description: its full name.
        flops: fp32 operations per second, without tensor cores (TF32 is off, so that parity holds).
        bandwidth: bytes per second of its memory.
        source: where both figures are published, by NVIDIA. They are what the units and clocks of these documents
            give: 2 operations x lanes x boost clock, and the width of the memory's bus x its data rate.
    """

    description: str
    flops: float
    bandwidth: float
    source: str

    def seconds(self, lowering: Lowering, spec: ConvSpec) -> float:
        """What a candidate takes, by the roofline and the launches of its kernels."""
        busy = roofline(
            2 * lowering.multiply_adds(spec),
            SHARE_OF_PEAK * self.flops,
            lowering.bytes_moved(spec),
            SHARE_OF_PEAK * self.bandwidth,
        )
        return busy + LAUNCH_SECONDS * lowering.operators(spec)


DEVICES: Mapping[str, Device] = {
    "h100": Device("NVIDIA H100 SXM5 80 GB", 67e12, 3.35e12, "NVIDIA H100 Tensor Core GPU datasheet"),
    "a100": Device("NVIDIA A100 SXM4 80 GB", 19.5e12, 2.039e12, "NVIDIA A100 80 GB datasheet"),
    "l4": Device("NVIDIA L4", 30.3e12, 0.3e12, "NVIDIA L4 datasheet"),
    "rtx-4090": Device(
        "NVIDIA GeForce RTX 4090", 82.6e12, 1.008e12, "NVIDIA Ada GPU architecture whitepaper"
    ),
    "orin": Device(
        "NVIDIA Jetson AGX Orin 64 GB", 5.3e12, 0.2048e12, "NVIDIA Jetson AGX Orin series technical brief"
    ),
}

ASSUMED = "a100"
"""Whose rates order the candidates on a GPU that is in none of these documents."""

SHARE_OF_PEAK = 0.5
"""What well-tuned kernels of middling size reach of either peak: an assumption, measured on none of them."""

LAUNCH_SECONDS = 3e-6
"""One kernel, launched behind another in a chain of small ones: an assumption too, of the usual order."""


def named(gpu: str) -> str | None:
    """The key of `DEVICES` that a GPU's name belongs to, ``h100`` for "NVIDIA H100 80GB HBM3"; None without one."""
    words = re.sub(r"[^a-z0-9]+", " ", gpu.lower()).split()
    return next((key for key in DEVICES if all(word in words for word in key.split("-"))), None)


def profile_of(gpu: str) -> Device:
    """The published rates of a GPU by its name; those of `ASSUMED` if they are not known."""
    return DEVICES[named(gpu) or ASSUMED]


class AbsentTarget(Target):
    """A GPU that this machine does not have; models are checked on the CPU instead.

    Args:
        name: the engine's name.
        device: the device.
    """

    present: ClassVar[bool] = False

    def __init__(self, name: TargetName, device: Device) -> None:
        self.name = name
        self._device = device

    def describe(self) -> str:
        """Engine and device, and that nothing was measured."""
        return f"{self.name} on {self._device.description}, estimated ({self._device.source})"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model in ONNX Runtime on this machine's CPU."""
        return OnnxRuntime(model)

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the roofline of the device, and the launches of its kernels."""
        return self._device.seconds(lowering, spec)
