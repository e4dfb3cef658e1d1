"""What of a bundle can be timed: its variants, on the engines that are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.bundle import (
    BACKBONE_NAME,
    DIRECT_NAME,
    MODEL_NAME,
    NATIVE_NAME,
    PT2_NAME,
    SINGLE_NAME,
    Bundle,
)
from dashdeploy.bench.common.peak_memory import peak_mib_of
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.engines import ENGINES as SERVED
from dashdeploy.runtimes.engines import load_engine
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.torch.program import load_program

COMPILED, DIRECT, SINGLE, BACKBONE = "compiled", "direct", "single", "backbone"

FILES: Mapping[str, str] = {
    BACKBONE: BACKBONE_NAME,
    SINGLE: SINGLE_NAME,
    DIRECT: DIRECT_NAME,
    COMPILED: MODEL_NAME,
}
"""The ONNX file of every variant."""

BASELINES = (BACKBONE, SINGLE, DIRECT)
"""What the compiled model is compared with, as far as the bundle has it; every convolution of these is direct."""

TORCH, TORCH_COMPILE, TORCH_GRAPH = "torch", "torch-compile", "torch-cuda-graph"

OF_TORCH = (TORCH, TORCH_COMPILE, TORCH_GRAPH)
"""Torch itself, eager, compiled, or as a CUDA graph: those that `device` and `precisions` are for."""

ALL = "all"

ENGINES: tuple[str, ...] = (*SERVED, *OF_TORCH)
"""Every engine that `bench latency` knows: those that serve a bundle, and torch itself."""

_MEMORY_CALLS = 2


@dataclass(frozen=True)
class Variant:
    """One way to run a bundle.

    Attributes:
        bundle: the bundle.
        engine: one of `ENGINES`.
        name: ``backbone``, ``single`` (an ensemble's first member), ``direct`` or ``compiled``.
        file: the file that is run.
        load: makes the runtime; the argument is the threads within one operator.
        precision: in what it is computed; None is what the bundle says.
        on_gpu: whether it runs on a GPU.
    """

    bundle: Bundle
    engine: str
    name: str
    file: Path
    load: Callable[[int], Runtime]
    precision: str | None = None
    on_gpu: bool = False

    @property
    def computed_in(self) -> str:
        """Its precision."""
        if self.precision is not None:
            return self.precision
        return self.bundle.manifest.precision if self.name == COMPILED else "fp32"


def variants_of(bundle: Bundle, engine: str, device: str = "cpu", precision: str = "fp32") -> list[Variant]:
    """The variants of a bundle that `engine` can run, in the order backbone, single, direct, compiled.

    Args:
        bundle: the bundle.
        engine: one of `ENGINES`.
        device: of torch; the name of any other engine says where it runs.
        precision: of torch, one of `PRECISIONS`; any other engine computes in what its file has.

    Raises:
        InputError: the engine does not exist, or the bundle holds nothing that it runs.
    """
    check_engine(engine)
    if engine in OF_TORCH:
        return _torch_variants(bundle, engine, device, precision)
    kind = SERVED[engine]
    if bundle.file(kind.file) is None:
        again = "".join(f" with `{name}={value}`" for name, value in kind.wish.items())
        raise InputError(f"{bundle.path}: the bundle has no {kind.file}; export it again{again}")
    compiled = Variant(
        bundle,
        engine,
        COMPILED,
        bundle.path / kind.file,
        lambda threads: load_engine(bundle, engine, threads=threads),
        on_gpu=kind.on_gpu,
    )
    if kind.file not in (MODEL_NAME, NATIVE_NAME):
        return [compiled]
    # What native kernels are compared with is what runs without them.
    without = {EngineName.NATIVE: EngineName.ORT_CPU, EngineName.OPENVINO_NATIVE: EngineName.OPENVINO}
    beside = without.get(kind.name, engine)
    baselines = [
        Variant(bundle, engine, name, file, _loader(bundle, beside, file), on_gpu=kind.on_gpu)
        for name in BASELINES
        if (file := bundle.file(FILES[name])) is not None
    ]
    return [*baselines, compiled]


def check_engine(engine: str) -> None:
    """Refuse an engine that is none.

    Raises:
        InputError: the engine does not exist.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine}: no such engine; choose from {', '.join(ENGINES)}, or all")


def _loader(bundle: Bundle, engine: str, file: Path) -> Callable[[int], Runtime]:
    return lambda threads: SERVED[engine].load(bundle, file, threads)


def _torch_variants(bundle: Bundle, engine: str, device: str, precision: str) -> list[Variant]:
    """The compiled model alone: a bundle holds no torch module of the others."""
    program = bundle.file(PT2_NAME)
    if program is None:
        raise InputError(f"{bundle.path}: the bundle has no {PT2_NAME}; export the run again with `pt2=True`")

    def load(threads: int) -> Runtime:
        return load_program(
            program,
            bundle.manifest.inputs,
            bundle.manifest.outputs,
            threads=threads,
            compile_it=engine == TORCH_COMPILE,
            graph=engine == TORCH_GRAPH,
            device=device,
            precision=precision,
        )

    return [Variant(bundle, engine, COMPILED, program, load, precision, on_gpu=device == "cuda")]


def loadable(
    bundle: Bundle, engine: str, threads: int, device: str = "cpu", precision: str = "fp32"
) -> tuple[list[Variant], str | None]:
    """The variants that really load here, and otherwise the reason why there are none."""
    try:
        variants = variants_of(bundle, engine, device, precision)
        if variants:
            variants[-1].load(threads)
    except (InputError, MissingCapabilityError) as error:
        return [], str(error)
    return variants, None


def peak_mib(variant: Variant, batch: int, threads: int) -> float | None:
    """MiB at the peak of a process that loads the variant and calls it twice; see `peak_mib_of`.

    The engine's libraries and Python itself are included: it is what a process that serves it needs.
    """
    asked = {
        "bundle": str(variant.bundle.path),
        "engine": variant.engine,
        "variant": variant.name,
        "batch": batch,
        "threads": threads,
    }
    title = f"{variant.bundle.path}, {variant.name} on {variant.engine}, batch {batch}"
    return peak_mib_of(load_and_call, asked, title=title)


def load_and_call(*, bundle: str, engine: str, variant: str, batch: int, threads: int) -> None:
    """Load a variant of the bundle in the folder `bundle` and call it twice; for `peak_mib`."""
    loaded = Bundle.load(Path(bundle), verify=False)
    runtime = next(each for each in variants_of(loaded, engine) if each.name == variant).load(threads)
    generator = np.random.default_rng(0)
    feeds = ExampleInputs.of(runtime.run, loaded.manifest.inputs).feeds(batch, generator)
    for _ in range(_MEMORY_CALLS):
        runtime.run(feeds)
