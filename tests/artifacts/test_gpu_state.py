"""What NVML tells of a GPU's clocks, by a library of its own in place of NVIDIA's, and where results keep it."""

import json
import sys
from types import SimpleNamespace

import pytest

from dashdeploy.artifacts import provenance
from dashdeploy.artifacts.gpu_state import GpuState, gpu_states
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.runtimes.gpus import find_gpus


class NVMLError(Exception):
    """As pynvml's."""


def nvml(*, failure=None):
    def refuse(*_):
        raise NVMLError("Not Supported")

    def init():
        if failure is not None:
            raise failure

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: "NVIDIA L4",
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetClockInfo=lambda _, kind: {1: 1500, 2: 6251}[kind],
        nvmlDeviceGetMaxClockInfo=lambda _, kind: {1: 2040, 2: 6251}[kind],
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 72000,
        nvmlDeviceGetTemperature=refuse,
    )


STATE = GpuState(
    name="NVIDIA L4",
    driver="580.65.06",
    sm_mhz=1500,
    most_sm_mhz=2040,
    memory_mhz=6251,
    most_memory_mhz=6251,
    watts=72.0,
    celsius=None,
)


def test_driver_and_clocks_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    assert gpu_states() == (STATE,)


def test_without_a_driver_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(failure=NVMLError("Driver Not Loaded")))
    assert gpu_states() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert gpu_states() == ()


def test_results_keep_them(monkeypatch):
    monkeypatch.setattr(provenance, "gpu_states", lambda: (STATE,))
    content = json.loads(Provenance.now().model_dump_json())
    assert content["gpus"][0]["sm_mhz"] == 1500
    assert Provenance.model_validate(content).gpus == (STATE,)
    monkeypatch.setattr(provenance, "gpu_states", lambda: ())
    assert "gpus" not in json.loads(Provenance.now().model_dump_json())


@pytest.mark.gpu
def test_a_real_gpu_tells_its_driver():
    pytest.importorskip("pynvml")
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    states = gpu_states()
    assert states
    assert all(state.driver for state in states)
