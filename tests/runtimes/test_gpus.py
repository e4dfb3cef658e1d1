"""The GPUs of this machine, by NVML and by the CUDA driver, each with a library of its own in place of NVIDIA's."""

import sys
from types import SimpleNamespace

import pytest

from dashdeploy.runtimes.gpus import find_gpus, installed_gpus


class NVMLError(Exception):
    """As pynvml's."""


def nvml(*gpus, failure=None, calls=None):
    """A module such as pynvml with `gpus`, (name, compute capability) each."""

    def init():
        if failure is not None:
            raise failure

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlShutdown=lambda: None if calls is None else calls.append("shutdown"),
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: gpus[index],
        nvmlDeviceGetName=lambda handle: handle[0],
        nvmlDeviceGetCudaComputeCapability=lambda handle: handle[1],
    )


def test_nvml_names_every_gpu(monkeypatch):
    calls = []
    fake = nvml(("NVIDIA H200", (9, 0)), ("NVIDIA L4", (8, 9)), calls=calls)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    found = [(gpu.name, gpu.compute_capability) for gpu in installed_gpus()]
    assert found == [("NVIDIA H200", "9.0"), ("NVIDIA L4", "8.9")]
    assert calls == ["shutdown"]


def test_without_nvml_there_is_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(failure=NVMLError("Driver Not Loaded")))
    assert installed_gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert installed_gpus() == []


def test_the_package_itself_finds_no_library_without_a_driver():
    pytest.importorskip("pynvml")
    if find_gpus()[0]:
        pytest.skip("there is a GPU")
    assert installed_gpus() == []


def test_no_driver():
    def missing(name):
        raise OSError(name)

    gpus, why = find_gpus(missing)
    assert gpus == []
    assert why.startswith("no NVIDIA driver")


def test_a_driver_without_device():
    gpus, why = find_gpus(lambda _: SimpleNamespace(cuInit=lambda _: 100))
    assert gpus == []
    assert "error 100" in why


def test_a_driver_with_a_device():
    def put(value):
        def call(pointer, *_):
            pointer._obj.value = value
            return 0

        return call

    def name(buffer, *_):
        buffer.value = b"NVIDIA H100"
        return 0

    def attribute(pointer, number, _):
        pointer._obj.value = {75: 9, 76: 0}[number]
        return 0

    cuda = SimpleNamespace(
        cuInit=lambda _: 0,
        cuDriverGetVersion=put(13010),
        cuDeviceGetCount=put(1),
        cuDeviceGet=put(0),
        cuDeviceGetName=name,
        cuDeviceGetAttribute=attribute,
    )
    gpus, driver = find_gpus(lambda _: cuda)
    assert [gpu.model_dump() for gpu in gpus] == [{"name": "NVIDIA H100", "compute_capability": "9.0"}]
    assert driver == "driver for CUDA 13.1"


@pytest.mark.gpu
def test_nvml_knows_the_device_that_cuda_gives():
    pytest.importorskip("pynvml")
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    capabilities = {gpu.compute_capability for gpu in installed_gpus()}
    assert {gpu.compute_capability for gpu in find_gpus()[0]} <= capabilities
