"""Every other engine of this machine's CPU that can be given an ONNX model, as a target."""

from __future__ import annotations

from typing import Literal

from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.channels_last import ChannelsLast
from dashdeploy.export.targets.cpu import COLUMNS, CpuTarget
from dashdeploy.export.targets.single_layer import single_layer_model
from dashdeploy.machine import cpu_model
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, Options

_WASM_FLOPS_PER_THREAD, _WASM_BYTES_PER_THREAD = 26e9, 20e9
"""WebAssembly has vectors of 128 bits and no fused multiply-add, so that arithmetic is dear beside memory."""

_VARIANTS = {TargetName.AOTI: 1, TargetName.EXECUTORCH: 2, TargetName.ORT_WEB: 2}
"""Of a lowering, or of a form of its products, where one takes seconds to compile or to warm up."""


class OnnxEngineTarget(CpuTarget):
    """An engine of `ONNX_ENGINES`.

    Args:
        name: the engine's.
        threads: within one operator.
        batch: samples per call that the costs are for, and that an engine compiles for.
        precision: in what the engine computes.

    Raises:
        MissingCapabilityError: the engine, or what it needs to convert models, is not installed.
    """

    def __init__(
        self, name: TargetName, threads: int, batch: int = 1, precision: Literal["fp32", "bf16"] = "fp32"
    ) -> None:
        super().__init__(threads)
        self.name, self.precision = name, precision
        self.patience = 3.0 if name is TargetName.ORT_WEB else 1.0
        self.variants = _VARIANTS.get(name, self.variants)
        if name is TargetName.ORT_WEB:
            self.product_forms, self.leaves_out = ("taps first",), frozenset()
            self.slow_at_relu = True  # WebAssembly's Relu decides number by number, and its Max does not
        self._engine = ONNX_ENGINES[name]
        self._version = self._engine.version()
        if self._engine.own_format is not None:
            self._engine.own_format.require()
        self._options = Options(threads, batch, precision)

    def describe(self) -> str:
        """Engine, version, precision where it is not float32, device and threads."""
        precision = "" if self.precision == "fp32" else f" in {self.precision}"
        batch = f", batch {self._options.batch}" if self._engine.own_format else ""
        version = f"{self._engine.title} {self._version}{precision}"
        return f"{version}, {cpu_model()}, {self.threads} thread(s){batch}"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model, converted first where the engine needs that."""
        return self._engine.load(model, self._options)

    def load_layer(
        self, lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None
    ) -> Runtime:
        """Load one convolution; see `Target.load_layer` and `ChannelsLast`."""
        if not self._engine.channels_last:
            return super().load_layer(lowering, spec, weight, bias)
        model = single_layer_model(lowering, spec, weight, bias, channels_last=True)
        return ChannelsLast(self.load(serialized(model)))

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds of arithmetic, memory traffic and operators; in WebAssembly of whole blocks of columns."""
        if self.name is not TargetName.ORT_WEB:
            return super().estimate(lowering, spec)
        computed = lowering.multiply_adds(spec) + lowering.idle_multiply_adds(spec, COLUMNS)
        traffic = lowering.bytes_moved(spec) / _WASM_BYTES_PER_THREAD
        return (2 * computed / _WASM_FLOPS_PER_THREAD + traffic) / self.threads
