"""ONNX Runtime, on the CPU or on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.gpus import find_gpus

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_NUMPY_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


Arena = Literal["own", "shared", "none"]

_LIMIT = "arena.cc"
"""What an error of ONNX Runtime's names when an arena may not grow any more: the file that raises it."""


def renew_shared_arena(most_bytes: int | None = None) -> None:
    """Give the sessions that share an arena from now on a new one; those that are loaded keep theirs.

    An arena keeps what it once took until the last of its sessions is gone.

    Args:
        most_bytes: how large it may become; None is any size.

    Raises:
        MissingCapabilityError: onnxruntime is not installed.
    """
    onnxruntime = _import_onnxruntime()
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    as_requested = 1  # by default an arena doubles, and takes up to twice what it needs
    limits = {"max_mem": most_bytes or 0, "arena_extend_strategy": as_requested}
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(limits))


class OnnxRuntime:
    """A model in ONNX Runtime's CPU or CUDA execution provider.

    Args:
        model: the path of an ``.onnx`` file (external data beside it is found), or a serialized model.
        threads: threads within one operator; None leaves the choice to ONNX Runtime.
        device: ``cuda`` is this machine's first GPU, where operators without a CUDA kernel run on the CPU.
        optimized: whether ONNX Runtime may rewrite the graph before it runs it.
        arena: where the values in between lie: in the session's own arena, which it keeps; in one that all sessions
            share that say so, which is for models that are timed by turns (see `renew_shared_arena`); or in none, so
            that nothing is kept between two calls, which are slower.
        provider: another execution provider, such as ``XnnpackExecutionProvider``, for the operators that it has; the
            CPU's runs the others.

    Attributes:
        inside_nanoseconds: on a GPU, how long the last run took with its inputs and outputs there.

    Raises:
        MissingCapabilityError: onnxruntime, the device or the provider is not there.
        InputError: ONNX Runtime refuses the model.
    """

    inside_nanoseconds: int

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int | None = None,
        device: Literal["cpu", "cuda"] = "cpu",
        optimized: bool = True,
        arena: Arena = "own",
        provider: str | None = None,
    ) -> None:
        onnxruntime = _import_onnxruntime()
        providers = _cuda_providers(onnxruntime) if device == "cuda" else [_CPU]
        if provider not in (None, _CPU):
            providers = [provider, _CPU]
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = _session(
                onnxruntime, source, threads, providers, optimized=optimized, arena=arena
            )
        except Exception as error:  # onnxruntime raises a dozen unrelated classes for a model it refuses
            where = "the model" if isinstance(model, bytes) else str(model)
            raise InputError(f"ONNX Runtime cannot load {where}: {first_line(error)}") from error
        _refuse_fallback(providers, self._session.get_providers())
        self._version: str = onnxruntime.__version__
        self._device = "CUDA" if device == "cuda" else "CPU" if provider is None else provider
        self._threads = threads
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        self._onnxruntime = onnxruntime
        self._bound_to = "cuda" if device == "cuda" else None
        if device == "cuda":
            self.inside_nanoseconds = 0

    @staticmethod
    def engine_version() -> str:
        """The installed version.

        Raises:
            MissingCapabilityError: onnxruntime is not installed.
        """
        return str(_import_onnxruntime().__version__)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            MemoryError: it needs more memory than a shared arena may have.
        """
        try:
            if self._bound_to is None:
                values = self._session.run(self._output_names, dict(feeds))
            else:
                values = self._run_there(feeds, self._bound_to)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            if _LIMIT in str(error):
                raise MemoryError(first_line(error)) from error
            raise
        return {name: np.asarray(value) for name, value in zip(self._output_names, values, strict=True)}

    def _run_there(self, feeds: Mapping[str, Array], device: str) -> list[Any]:
        """Run with inputs and outputs on a device (the first of its kind), and time that alone."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            value = self._onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), device, 0)
            binding.bind_ortvalue_input(name, value)
        for name in self._output_names:
            binding.bind_output(name, device, 0)
        binding.synchronize_inputs()
        start = perf_counter_ns()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        self.inside_nanoseconds = perf_counter_ns() - start
        return list(binding.copy_outputs_to_cpu())

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"ONNX Runtime {self._version}, {self._device}, {threads}"


def _refuse_fallback(asked: list[Any], running: list[str]) -> None:
    """Refuse a session that lacks a provider: ONNX Runtime falls back to the CPU without a word.

    It does so where the provider is not in this build, and where one of its libraries does not load.

    Args:
        asked: the providers that were asked for, by name or with their options.
        running: those that the session has.

    Raises:
        MissingCapabilityError: one is missing; the message names it and what runs instead.
    """
    names = [each if isinstance(each, str) else each[0] for each in asked]
    missing = [name for name in names if name not in running]
    if not missing:
        return
    if missing == [_CUDA]:
        raise MissingCapabilityError(
            "ONNX Runtime cannot start CUDA (CUDAExecutionProvider): its libraries do not load, and it fell back to "
            f"{', '.join(running)}; install them with: pip install 'dashdeploy[gpu]'"
        )
    raise MissingCapabilityError(
        f"ONNX Runtime was asked for {', '.join(missing)} and fell back to {', '.join(running)}; install a build of "
        "onnxruntime that has it (https://onnxruntime.ai/docs/install), or run on the CPU with `engine=ort-cpu`"
    )


def _import_onnxruntime() -> Any:  # noqa: ANN401 - the package has no types
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingCapabilityError(
            "onnxruntime is not installed; install it with: pip install 'dashdeploy[cpu]'"
        ) from error
    return onnxruntime


def _session(
    onnxruntime: Any,  # noqa: ANN401 - the package has no types
    source: str | bytes,
    threads: int | None,
    providers: list[Any],
    *,
    optimized: bool,
    arena: Arena,
) -> Any:  # noqa: ANN401
    """A session whose products of eight-bit integers are exact wherever its operators have such a kernel.

    The quick ones saturate on x86 processors without VNNI: outputs are off by half their range. QLinearConv of signed
    integers has no other kernel.
    """
    try:
        options = _options(onnxruntime, threads, optimized=optimized, arena=arena, exact_products=True)
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        options = _options(onnxruntime, threads, optimized=optimized, arena=arena, exact_products=False)
        return onnxruntime.InferenceSession(source, options, providers=providers)


def _options(
    onnxruntime: Any,  # noqa: ANN401 - the package has no types
    threads: int | None,
    *,
    optimized: bool,
    arena: Arena,
    exact_products: bool,
) -> Any:  # noqa: ANN401
    options = onnxruntime.SessionOptions()
    if arena == "shared":
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_cpu_mem_arena = arena != "none"
    # With it a second call takes one block for all values, while the arena keeps the pieces of the first call.
    options.enable_mem_pattern = arena == "own"
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    # Idle threads of one session would otherwise spin on the cores that the next session is timed on.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.x64quantprecision", str(int(exact_products)))
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    return options


def _cuda_providers(onnxruntime: Any) -> list[Any]:  # noqa: ANN401 - the package has no types
    """CUDA's provider in true fp32, and the CPU's for what it does not have.

    Raises:
        MissingCapabilityError: the package, the driver or the GPU is missing; all that is missing is named.
    """
    missing = []
    if _CUDA not in onnxruntime.get_available_providers():
        missing.append(
            "onnxruntime-gpu in place of onnxruntime (pip uninstall onnxruntime; pip install 'dashdeploy[gpu]')"
        )
    gpus, reason = find_gpus()
    if not gpus:
        missing.append(f"an NVIDIA GPU with its driver ({reason})")
    if missing:
        raise MissingCapabilityError(f"ONNX Runtime with CUDA needs {' and '.join(missing)}")
    if hasattr(onnxruntime, "preload_dlls"):  # those of the nvidia-* packages, which the gpu extra installs
        onnxruntime.preload_dlls()
    return [(_CUDA, {"use_tf32": "0"}), _CPU]


def _spec(value: object) -> TensorSpec:
    name, shape, kind = value.name, value.shape, value.type  # type: ignore[attr-defined]
    if any(isinstance(axis, int) and axis < 0 for axis in shape):
        raise InputError(
            f"{name} has the impossible shape {shape}: the model's input is shorter than its kernels"
        )
    axes = [
        axis if isinstance(axis, int) else str(axis or f"{name}_axis_{i}") for i, axis in enumerate(shape)
    ]
    return TensorSpec(name=name, shape=tuple(axes), dtype=_NUMPY_DTYPES.get(kind, kind))
