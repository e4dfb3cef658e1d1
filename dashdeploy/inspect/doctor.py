"""What this machine has: versions, devices and engines, and what each missing engine needs.

Nothing here may fail: a broken package or driver is a finding, not an error.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel

from dashdeploy.cli.console import table
from dashdeploy.machine import cores, cpu_model

PACKAGES = (
    "dashdeploy",
    "torch",
    "lightning",
    "onnx",
    "onnxscript",
    "onnx-ir",
    "numpy",
    "safetensors",
    "pydantic",
)
"""The packages whose versions a bug report should name; engines are listed apart."""


class Engine(BaseModel):
    """One engine or extra.

    Attributes:
        name: the engine, as ``--target`` has it, or the extra.
        version: the installed version; None if it is not installed.
        works: whether it can be used on this machine.
        needs: what is missing, with the command that mends it; empty if nothing is.
    """

    name: str
    version: str | None
    works: bool
    needs: str


class Gpu(BaseModel):
    """One CUDA device, as the driver describes it."""

    name: str
    compute_capability: str


class Report(BaseModel):
    """What was found.

    Attributes:
        python: Python's version and where it lives.
        system: operating system and architecture.
        cpu: the processor's model.
        cores: the cores that this process may use.
        gpus: the CUDA devices.
        driver: why there is no CUDA device, or the version of CUDA that the driver supports.
        packages: versions by package; None if missing.
        engines: engines and extras.
    """

    python: str
    system: str
    cpu: str
    cores: int
    gpus: list[Gpu]
    driver: str
    packages: dict[str, str | None]
    engines: list[Engine]

    def text(self) -> str:
        """The report for a person."""
        gpus = ", ".join(f"{gpu.name} (compute capability {gpu.compute_capability})" for gpu in self.gpus)
        machine = [
            ["python", self.python],
            ["system", self.system],
            ["processor", f"{self.cpu}, {self.cores} core(s) for this process"],
            ["GPU", f"{gpus}; {self.driver}" if gpus else f"none: {self.driver}"],
        ]
        packages = [[name, found or "missing"] for name, found in self.packages.items()]
        engines = [
            [engine.name, engine.version or "-", "yes" if engine.works else "no", engine.needs]
            for engine in self.engines
        ]
        return "\n\n".join(
            [
                table(["machine", ""], machine),
                table(["package", "version"], packages),
                table(["engine or extra", "version", "works", "needs"], engines),
            ]
        )


def examine() -> Report:
    """Look at this machine."""
    gpus, driver = find_gpus()
    return Report(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_model(),
        cores=cores(),
        gpus=gpus,
        driver=driver,
        packages={name: _version(name) for name in PACKAGES},
        engines=_engines(has_gpu=bool(gpus)),
    )


def find_gpus(load: Callable[[str], ctypes.CDLL] = ctypes.CDLL) -> tuple[list[Gpu], str]:
    """Ask the CUDA driver for its devices, without any package.

    Args:
        load: opens the driver's library; a test puts its own in place.

    Returns:
        The devices, and the driver's CUDA version or the reason why there are none.
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
        gpus = [_describe_gpu(cuda, index) for index in range(count.value)]
    except (OSError, AttributeError):
        return [], f"no NVIDIA driver ({library} not found)"
    cuda_version = f"driver for CUDA {supported.value // 1000}.{supported.value % 1000 // 10}"
    return gpus, cuda_version if gpus else f"{cuda_version}, but no device is visible"


def _describe_gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
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


_OTEL_MODULES = "opentelemetry.sdk.trace opentelemetry.exporter.otlp.proto.http.trace_exporter"


def _engines(*, has_gpu: bool) -> list[Engine]:
    return [
        _engine("ort-cpu", ["onnxruntime", "onnxruntime-gpu"], "onnxruntime", extra="cpu"),
        _engine("ort-cuda", ["onnxruntime-gpu"], "onnxruntime", extra="gpu", gpu=has_gpu),
        _engine("torch", ["torch"], "torch"),
        _engine("openvino", ["openvino"], "openvino", extra="openvino"),
        _engine(
            "tensorrt", ["tensorrt-cu13", "tensorrt-cu12", "tensorrt"], "tensorrt", extra="trt", gpu=has_gpu
        ),
        # Builds engines ahead of time without a GPU; only running them needs one.
        _engine("tensorrt-rtx", ["tensorrt-rtx-cu12", "tensorrt-rtx-cu13"], "tensorrt_rtx", extra="trt-rtx"),
        _engine(
            "serve (extra)", ["starlette"], "starlette uvicorn orjson grpc prometheus_client", extra="serve"
        ),
        _engine("otel (extra)", ["opentelemetry-sdk"], _OTEL_MODULES, extra="otel"),
        _engine("tasks (extra)", ["mnist1d"], "mnist1d", extra="tasks"),
    ]


def _engine(
    name: str, distributions: list[str], modules: str, *, extra: str | None = None, gpu: bool | None = None
) -> Engine:
    """Probe one engine; `gpu` says whether there is a GPU, for an engine that cannot do without."""
    found = next((found for found in map(_version, distributions) if found), None)
    install = f"pip install 'dashdeploy[{extra}]'" if extra else "pip install dashdeploy"
    if extra == "gpu":
        # The two packages own the same files, so the one for the CPU has to go first.
        install = f"pip uninstall onnxruntime; {install}"
    if found is None:
        broken: str | None = f"install it with: {install}"
    else:
        broken = _import_failure(modules.split())
    needs = [broken] if broken else []
    if gpu is False:
        needs.append("an NVIDIA GPU with its driver")
    return Engine(name=name, version=found, works=not needs, needs="; ".join(needs))


def _import_failure(modules: list[str]) -> str | None:
    """Why one of `modules` cannot be imported, in a line, or None."""
    for module in modules:
        try:
            import_module(module)
        except Exception as error:  # a broken installation raises whatever it likes
            reason = " ".join(str(error).split()) or type(error).__name__
            return f"{module} is installed but cannot be imported: {reason}"
    return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
