"""The NVIDIA GPUs of this machine, and those that CUDA gives to this process.

These are two questions. NVML (nvidia-ml-py) lists every GPU in the order of their slots, whatever
CUDA_VISIBLE_DEVICES says. Engines run on what the CUDA driver counts: it may refuse to start, hide devices, and
number them otherwise.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

from pydantic import BaseModel


class Gpu(BaseModel):
    """One GPU, as the driver describes it."""

    name: str
    compute_capability: str


def installed_gpus() -> list[Gpu]:
    """Every GPU that NVML knows; none without a driver, or on devices whose driver has no NVML."""
    try:
        import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        try:
            handles = [
                pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
            ]
            return [
                Gpu(
                    name=pynvml.nvmlDeviceGetName(handle),
                    compute_capability=".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle))),
                )
                for handle in handles
            ]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []


def find_gpus(load: Callable[[str], ctypes.CDLL] = ctypes.CDLL) -> tuple[list[Gpu], str]:
    """Ask the CUDA driver for the devices that this process may use.

    Every engine on a GPU is guarded by this question: without a driver, TensorRT's runtime may hand out an object and
    then crash the process. It is asked of the driver's own library, since no package is needed for that.

    Args:
        load: opens the driver's library; a test puts its own in place.

    Returns:
        The devices in CUDA's order, and the driver's CUDA version or the reason why there are none.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = load(library)
        status = cuda.cuInit(0)
        if status != 0:
            return (
                [],
                f"the NVIDIA driver fails with error {status} (cuInit); see what nvidia-smi says",
            )
        supported, count = ctypes.c_int(), ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(supported))
        cuda.cuDeviceGetCount(ctypes.byref(count))
        gpus = [_describe(cuda, index) for index in range(count.value)]
    except (OSError, AttributeError):
        return [], f"no NVIDIA driver ({library} not found)"
    cuda_version = f"driver for CUDA {supported.value // 1000}.{supported.value % 1000 // 10}"
    return gpus, cuda_version if gpus else f"{cuda_version}, but no device is visible"


def _describe(cuda: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), device)
    capability = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Gpu(name=name.value.decode(errors="replace"), compute_capability=".".join(map(str, capability)))
