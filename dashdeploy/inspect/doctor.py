"""What this machine has: versions, devices and engines, and what each missing engine needs.

Nothing here may fail: a broken package or driver is a finding, not an error.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.machine import cores, cpu_model
from dashdeploy.report.text_table import table
from dashdeploy.runtimes.gpus import Gpu, find_gpus, installed_gpus
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.native.library import ABI_VERSION, BUILD_COMMAND, instruction_sets
from dashdeploy.runtimes.native.openvino_extension import extension_path
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.ort_web.installation import pinned_version
from dashdeploy.runtimes.torch.device import require_cuda

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
        name: the engine or the extra.
        version: the installed version; None if it is not installed.
        works: whether it can be used on this machine.
        needs: what is missing, with the command that installs it; empty if nothing is.
    """

    name: str
    version: str | None
    works: bool
    needs: str


class Report(BaseModel):
    """What was found.

    Attributes:
        python: Python's version and where it lives.
        system: operating system and architecture.
        cpu: the processor's model.
        cores: the cores that this process may use.
        gpus: every GPU that is installed.
        driver: the version of CUDA that the driver supports, or why CUDA cannot use a device.
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
    usable, driver = find_gpus()
    gpus = installed_gpus() or usable
    if 0 < len(usable) < len(gpus):
        driver += f", which shows this process {len(usable)} of {len(gpus)} devices"
    return Report(
        python=f"{platform.python_version()} ({sys.executable})",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_model(),
        cores=cores(),
        gpus=gpus,
        driver=driver,
        packages={name: _version(name) for name in PACKAGES},
        engines=_engines(has_gpu=bool(usable)),
    )


def gpu_check_command() -> str:
    """The command that checks everything that is meant for this machine's GPU.

    Raises:
        MissingCapabilityError: torch is not here, or has no GPU.
    """
    usable, driver = find_gpus()
    try:
        import torch
    except ImportError as error:
        raise MissingCapabilityError(
            "torch is not installed, without which no GPU can be checked; install it with: pip install torch"
        ) from error
    if not usable or not torch.cuda.is_available():
        build = "without CUDA" if torch.version.cuda is None else f"with CUDA {torch.version.cuda}"
        raise MissingCapabilityError(
            f"no GPU to check: {driver}; torch {torch.__version__} is built {build}; install NVIDIA's driver and "
            "a CUDA build of torch (pip install torch), or rehearse the check with: make gpu-check DEVICE=cpu"
        )
    script = Path(__file__).resolve().parents[2] / "bench" / "gpu_check" / "start.py"
    return f"make -C {script.parents[2]} gpu-check" if script.exists() else _GPU_CHECK_MODULE


_GPU_CHECK_MODULE = "python -m dashdeploy.bench.gpu_check.measure"
_OTEL_MODULES = "opentelemetry.sdk.trace opentelemetry.exporter.otlp.proto.http.trace_exporter"


def _engines(*, has_gpu: bool) -> list[Engine]:
    return [
        _engine(EngineName.ORT_CPU, ["onnxruntime", "onnxruntime-gpu"], "onnxruntime", extra="cpu"),
        _engine(EngineName.ORT_CUDA, ["onnxruntime-gpu"], "onnxruntime", extra="gpu", gpu=has_gpu),
        _engine("torch", ["torch"], "torch"),
        _engine(EngineName.OPENVINO, ["openvino"], "openvino", extra="openvino"),
        _ort_web(),
        _engine(EngineName.MNN, ["MNN"], "", extra="mnn"),  # importing it prints
        _engine(EngineName.IREE, ["iree-base-runtime"], "iree.runtime iree.compiler", extra="iree"),
        _engine(EngineName.LITERT, ["ai-edge-litert"], "ai_edge_litert.interpreter", extra="litert"),
        _aoti(),
        _engine(EngineName.EXECUTORCH, ["executorch"], "executorch.runtime", extra="executorch"),
        _engine(
            EngineName.TENSORRT,
            ["tensorrt-cu13", "tensorrt-cu12", "tensorrt"],
            "tensorrt",
            extra="trt",
            gpu=has_gpu,
        ),
        _torch_cuda(),
        # Builds engines ahead of time without a GPU; only running them needs one.
        _engine(
            EngineName.TENSORRT_RTX,
            ["tensorrt-rtx-cu12", "tensorrt-rtx-cu13"],
            "tensorrt_rtx",
            extra="trt-rtx",
        ),
        _native(),
        _openvino_native(),
        _engine(
            "serve (extra)", ["starlette"], "starlette uvicorn orjson grpc prometheus_client", extra="serve"
        ),
        _engine("otel (extra)", ["opentelemetry-sdk"], _OTEL_MODULES, extra="otel"),
        _engine("tasks (extra)", ["mnist1d"], "mnist1d", extra="tasks"),
        _engine("sklearn (extra)", ["scikit-learn"], "sklearn", extra="sklearn"),
    ]


def _ort_web() -> Engine:
    reason = ONNX_ENGINES[EngineName.ORT_WEB].missing()
    found = None if reason else pinned_version()
    return Engine(name=EngineName.ORT_WEB, version=found, works=reason is None, needs=reason or "")


def _aoti() -> Engine:
    """AOTInductor comes with torch; models of it run as they are, and a C++ compiler makes them."""
    reason = ONNX_ENGINES[EngineName.AOTI].missing()
    return Engine(name=EngineName.AOTI, version=_version("torch"), works=reason is None, needs=reason or "")


def _torch_cuda() -> Engine:
    """Torch on a GPU: a build of torch with CUDA, and a GPU that it sees."""
    found = _version("torch")
    try:
        require_cuda()
    except (ImportError, MissingCapabilityError) as error:
        return Engine(
            name=EngineName.TORCH_CUDA, version=found, works=False, needs=" ".join(str(error).split())
        )
    return Engine(name=EngineName.TORCH_CUDA, version=found, works=True, needs="")


def _native() -> Engine:
    """The native kernels, which are not package: what they were built for, or what building them takes."""
    try:
        found = ", ".join(instruction_sets())
    except MissingCapabilityError as error:
        return Engine(name=EngineName.NATIVE, version=None, works=False, needs=" ".join(str(error).split()))
    return Engine(name=EngineName.NATIVE, version=f"{ABI_VERSION} ({found})", works=True, needs="")


def _openvino_native() -> Engine:
    """The native kernels' extension of OpenVINO, of which there is a file or not."""
    built = extension_path().is_file()
    needs = "" if built else f"openvino and a C++ compiler, then: {BUILD_COMMAND}"
    version = str(ABI_VERSION) if built else None
    return Engine(name=EngineName.OPENVINO_NATIVE, version=version, works=built, needs=needs)


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
