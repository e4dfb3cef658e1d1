"""Engines of TensorRT and TensorRT-RTX on a GPU, with torch tensors as device buffers.

Written against the documented API (``IExecutionContext``: set_input_shape, set_tensor_address, execute_async_v3;
``IEngineInspector``; ``IProfiler``); it has one context and one stream, and calls from several threads take turns.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, stage_call
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.tensorrt_flavors import Flavor

_LOG = logging.getLogger("dashdeploy.tensorrt")

# Without a driver every call ends with "catchCudaError … 35" (cudaErrorInsufficientDriver), which harms nothing.
_HARMLESS = re.compile(
    r"catchCudaError.*\b35\b|\bCUDA\b.*\b35\b|insufficient driver", re.IGNORECASE | re.DOTALL
)


class TensorRT:
    """An engine on this machine's first GPU.

    Args:
        engine: a ``.engine`` or ``.rtx`` file.
        flavor: which TensorRT built it.

    Attributes:
        inside_nanoseconds: how long the last run took on the GPU, without the way of the arrays there and back.

    Raises:
        MissingCapabilityError: the package, the driver, the GPU, or torch with CUDA is missing.
        InputError: the engine is damaged, or was built by another version or for another GPU.
    """

    def __init__(self, engine: Path, flavor: Flavor) -> None:
        self._trt = flavor.load(to_run=True)
        import torch

        if not torch.cuda.is_available():
            raise MissingCapabilityError(
                f"{flavor.title} needs torch with CUDA for its buffers, and this torch has none; install "
                "one that has: https://pytorch.org/get-started"
            )
        self._torch = torch
        self._log = collecting_logger(self._trt)
        if not flavor.ahead_of_time:
            self._trt.init_libnvinfer_plugins(self._log, "")
        self._runtime = self._trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            reason = "; ".join(self._log.errors[-2:]) or "it gives no reason"
            call = stage_call("export", "BUNDLE", **{flavor.parameter: True})
            raise InputError(
                f"{flavor.title} cannot load {engine}: {reason}; an engine runs with the version and on the "
                f"GPUs that its sidecar names; build it here: {call}"
            )
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._lock = Lock()
        self.inside_nanoseconds = 0
        self._title = flavor.title
        specs = [self._spec(index) for index in range(self._engine.num_io_tensors)]
        self.inputs = tuple(spec for spec, is_input in specs if is_input)
        self.outputs = tuple(spec for spec, is_input in specs if not is_input)

    def _spec(self, index: int) -> tuple[TensorSpec, bool]:
        name = self._engine.get_tensor_name(index)
        shape = [axis if axis >= 0 else "batch" for axis in self._engine.get_tensor_shape(name)]
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
        is_input = self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        return TensorSpec(name=name, shape=tuple(shape), dtype=dtype), is_input

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the engine once; see `Runtime.run`.

        Raises:
            InputError: a shape is outside of the engine's profile, or the GPU refuses the call.
        """
        torch, context = self._torch, self._context
        with self._lock, torch.cuda.stream(self._stream):
            buffers: dict[str, Any] = {}
            for spec in self.inputs:
                array = np.ascontiguousarray(feeds[spec.name], dtype=spec.dtype)
                if not context.set_input_shape(spec.name, array.shape):
                    raise InputError(
                        f"input {spec.name} of shape {array.shape} is outside of the engine's profile; "
                        "build it with other `engine_batches`"
                    )
                buffers[spec.name] = torch.from_numpy(array).cuda(non_blocking=True)
            for spec in self.outputs:
                shape = tuple(context.get_tensor_shape(spec.name))
                dtype = getattr(torch, spec.dtype)
                buffers[spec.name] = torch.empty(shape, dtype=dtype, device="cuda")
            for name, buffer in buffers.items():
                context.set_tensor_address(name, buffer.data_ptr())
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(self._stream)
            if not context.execute_async_v3(self._stream.cuda_stream):
                raise InputError(f"{self._title} failed: {'; '.join(self._log.errors[-2:])}")
            end.record(self._stream)
            self._stream.synchronize()
            self.inside_nanoseconds = round(1e6 * float(start.elapsed_time(end)))
            return {spec.name: buffers[spec.name].cpu().numpy() for spec in self.outputs}

    def layers(self) -> Any:  # noqa: ANN401 - what TensorRT says about itself
        """The engine inspector's output: every layer with its tensors, formats and tactic."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return json.loads(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def profile(self, feeds: Mapping[str, Array], *, runs: int) -> dict[str, float]:
        """Milliseconds of each layer, the mean of some runs after a first one.

        Args:
            feeds: as for `run`.
            runs: how many are counted.
        """
        base: Any = self._trt.IProfiler
        total: dict[str, float] = {}

        class Profiler(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                total[layer_name] = total.get(layer_name, 0.0) + ms

        self.run(feeds)
        profiler = Profiler()
        self._context.profiler = profiler  # every run reports its layers before it returns
        for _ in range(runs):
            self.run(feeds)
        return {layer: time / runs for layer, time in total.items()}

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        return f"{self._title} {self._trt.__version__}, {self._torch.cuda.get_device_name()}"


def is_harmless(message: str) -> bool:
    """Whether a message only says that this machine has no driver."""
    return _HARMLESS.search(message) is not None


def collecting_logger(trt: Any) -> Any:  # noqa: ANN401 - a module without type information
    """A logger for `trt` whose attribute ``errors`` collects the errors in order; the rest goes to logging.

    Args:
        trt: the imported package.
    """

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401 - trt.ILogger.Severity
            line = " ".join(message.split())
            if is_harmless(line):
                return
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(line)
            _LOG.debug("%s", line)

    return CollectingLogger()
