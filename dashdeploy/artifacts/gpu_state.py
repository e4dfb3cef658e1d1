"""The driver, clocks and power limit of NVIDIA GPUs, which decide what a measurement on one is worth."""

from __future__ import annotations

from collections.abc import Callable

from dashdeploy.artifacts.json_files import FrozenModel


class GpuState(FrozenModel):
    """One GPU at one moment, as NVML tells; None is what it does not tell.

    Attributes:
        name: of the GPU.
        driver: the driver's version.
        sm_mhz: the present clock of its multiprocessors.
        most_sm_mhz: their highest clock.
        memory_mhz: the present clock of its memory.
        most_memory_mhz: the memory's highest clock.
        watts: the power that it may draw.
        celsius: its temperature.
    """

    name: str
    driver: str
    sm_mhz: int | None = None
    most_sm_mhz: int | None = None
    memory_mhz: int | None = None
    most_memory_mhz: int | None = None
    watts: float | None = None
    celsius: int | None = None


def gpu_states() -> tuple[GpuState, ...]:
    """Every GPU that NVML knows; none without a driver."""
    try:
        import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return ()

    def told(ask: Callable[[], int]) -> int | None:
        try:
            return int(ask())
        except pynvml.NVMLError:  # not every GPU tells everything
            return None

    def state(index: int) -> GpuState:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        milliwatts = told(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu))
        return GpuState(
            name=pynvml.nvmlDeviceGetName(gpu),
            driver=pynvml.nvmlSystemGetDriverVersion(),
            sm_mhz=told(lambda: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
            most_sm_mhz=told(lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
            memory_mhz=told(lambda: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
            most_memory_mhz=told(lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
            watts=None if milliwatts is None else 1e-3 * milliwatts,
            celsius=told(lambda: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
        )

    try:
        pynvml.nvmlInit()
        try:
            return tuple(state(index) for index in range(pynvml.nvmlDeviceGetCount()))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return ()
