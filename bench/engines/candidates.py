"""What of a model can be run in which engine here: the backbone, the direct model and the compiled one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from dashdeploy.artifacts.bundle import PT2_NAME, TORCHSCRIPT_NAME, Bundle
from dashdeploy.bench.latency.variants import BACKBONE, COMPILED, DIRECT, FILES
from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, OnnxEngine, Options
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino
from dashdeploy.runtimes.ort_web.installation import find_package
from dashdeploy.runtimes.torch.program import load_program
from dashdeploy.runtimes.torch.torchscript import TorchScript

OPENVINO_BF16, TORCH = "openvino-bf16", "torch"

ENGINES: tuple[str, ...] = (
    *(
        name
        for each in ONNX_ENGINES
        for name in ((each, OPENVINO_BF16) if each == EngineName.OPENVINO else (each,))
    ),
    EngineName.TORCHSCRIPT,
    TORCH,
)
"""Every engine that can be compared, in the order of the table."""

PROVIDER = "ort:"
"""Before the name of an execution provider of ONNX Runtime, such as ``ort:XnnpackExecutionProvider``."""

TORCH_FILES: Mapping[str, str] = {EngineName.TORCHSCRIPT: TORCHSCRIPT_NAME, TORCH: PT2_NAME}
"""The file of a bundle that the engines of torch load."""

VARIANTS = (BACKBONE, DIRECT, COMPILED)

_WEB_FILES = ("ort.node.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


@dataclass(frozen=True)
class Candidate:
    """One variant of a model, ready to be loaded in an engine.

    Attributes:
        engine: one of `ENGINES`.
        variant: one of `VARIANTS`.
        bundle: that it comes from.
        file: what the engine loads: a file of the bundle, or one that was converted from it.
        planned_for: the target of the bundle's plan.
    """

    engine: str
    variant: str
    bundle: Path
    file: Path
    planned_for: str

    def load(self, threads: int, batch: int) -> Runtime:
        """Load it.

        Raises:
            MissingCapabilityError: the engine is not here.
            InputError: the engine refuses the file.
        """
        if self.engine in TORCH_FILES:
            manifest = Bundle.load(self.bundle, verify=False).manifest
            if self.engine == TORCH:
                return load_program(self.file, manifest.inputs, manifest.outputs, threads=threads)
            return TorchScript(self.file, inputs=manifest.inputs, outputs=manifest.outputs, threads=threads)
        engine, precision = onnx_engine(self.engine)
        options = Options(threads, batch, precision)
        own = engine.own_format
        if own is None:
            return engine.load(self.file.read_bytes(), options)
        return own.open(self.file, *interface((self.bundle / FILES[self.variant]).read_bytes()), options)


def onnx_engine(name: str) -> tuple[OnnxEngine, Literal["fp32", "bf16"]]:
    """The engine of ONNX models that a name stands for, and in what it computes."""
    if name.startswith(PROVIDER):
        provider = name.removeprefix(PROVIDER)
        return replace(
            ONNX_ENGINES[EngineName.ORT_CPU],
            title=f"ONNX Runtime with {provider}",
            run=lambda model, options: OnnxRuntime(model, threads=options.threads, provider=provider),
        ), "fp32"
    precision = "bf16" if name == OPENVINO_BF16 else "fp32"
    base = EngineName.OPENVINO if name == OPENVINO_BF16 else name
    return ONNX_ENGINES[base], cast("Literal['fp32', 'bf16']", precision)


def missing(name: str) -> str | None:
    """Why an engine cannot be used here, with what helps; None where it can."""
    if name in TORCH_FILES:
        return None
    reason = onnx_engine(name)[0].missing()
    if reason is None and name == OPENVINO_BF16 and not OpenVino.computes_in_bf16():
        return "OpenVINO has no bfloat16 on this processor; leave the engine out"
    return reason


def candidates_of(bundle: Bundle, engine: str, batch: int, folder: Path) -> list[Candidate]:
    """The variants of a bundle for an engine, converted to its own format where it has one.

    Args:
        bundle: the bundle.
        engine: one of `ENGINES`.
        batch: that an engine compiles for.
        folder: where converted files go.

    Raises:
        InputError: the bundle lacks the engine's file, or its converter refuses a model.
    """
    made = bundle.path, bundle.manifest.target
    if engine in TORCH_FILES:
        file = bundle.file(TORCH_FILES[engine])
        if file is None:
            wish = "torchscript" if engine == EngineName.TORCHSCRIPT else "pt2"
            raise InputError(
                f"{bundle.path}: the bundle has no {TORCH_FILES[engine]}; export the run with `{wish}=True`"
            )
        return [Candidate(engine, COMPILED, made[0], file, made[1])]
    found = [(variant, bundle.file(FILES[variant])) for variant in VARIANTS]
    return [
        Candidate(engine, variant, made[0], _converted(engine, variant, file, batch, folder), made[1])
        for variant, file in found
        if file is not None
    ]


def _converted(engine: str, variant: str, file: Path, batch: int, folder: Path) -> Path:
    own = onnx_engine(engine)[0].own_format
    if own is None:
        return file
    result = folder / f"{engine}-{variant}{Path(own.file).suffix}"
    result.write_bytes(own.convert(file.read_bytes(), batch))
    return result


def runtime_mib(engine: str) -> float | None:
    """MiB of the engine's files on disk that a run needs; None where they are not known."""
    if engine == EngineName.ORT_WEB:
        return sum((find_package() / "dist" / name).stat().st_size for name in _WEB_FILES) / 2**20
    packages = ("torch",) if engine in TORCH_FILES else onnx_engine(engine)[0].packages
    sizes = [_size(package) for package in packages]
    return sum(sizes) / 2**20 if sizes and all(sizes) else None


def _size(package: str) -> int:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())
