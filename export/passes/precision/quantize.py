"""Eight-bit integers by post-training quantization with Q/DQ nodes, in the form that TensorRT parses.

The quantizer is ONNX Runtime's; the settings are those that TensorRT takes: symmetric int8 for activations and
weights, weights per output channel, and biases left in float32. FFT convolutions stay float32, since the spectra of
their taps have no range that eight bits hold; where they pay nevertheless is a matter of the speed gate.

For a CPU, weights use seven of their eight bits. x86 processors without VNNI add two products of eight bits up in
sixteen, which overflows: with weights of eight bits ONNX Runtime is off by half the output's range there, unless the
session asks for another kernel (``session.x64quantprecision``), and a model must be right in anyone's session.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import FunctionalPass, PassResult

from dashdeploy.export.lowerings.graph_writer import PRODUCT, place_within
from dashdeploy.export.passes.base import Unmatched
from dashdeploy.export.passes.precision.activation_ranges import activation_ranges
from dashdeploy.export.verify.batches import batch_of_bytes, split
from dashdeploy.runtimes.base import Array

_BATCH, _BYTES = 32, 2**16
"""Samples of one call at most, and the bytes of their inputs: the quantizer runs the model unoptimized."""

_QUANTIZED = ("Conv", "Gemm", "MatMul")


class Quantize(FunctionalPass):
    """Conv, Gemm and MatMul compute in int8 between QuantizeLinear and DequantizeLinear.

    Needs: a model in float32, and inputs to calibrate on. It gives another model, since the quantizer writes a file.

    Args:
        compiled_layers: names of the layers that dashdeploy wrote.
        calibration: inputs by name, [samples, ...]: the ranges of the activations are those that they cause.
        batch: the model's batch where it is fixed.
        seven_bit_weights: whether weights stay within -64 to 64, for x86 processors without VNNI.

    Attributes:
        unmatched: the operators of compiled layers, which the last run left in float32.
    """

    def __init__(
        self,
        compiled_layers: Collection[str],
        calibration: Mapping[str, Array],
        batch: int | None = None,
        *,
        seven_bit_weights: bool = False,
    ) -> None:
        self.unmatched: list[Unmatched] = []
        self._layers = compiled_layers
        self._calibration = calibration
        self._batch = batch or min(_BATCH, batch_of_bytes(calibration, _BYTES))
        self._seven_bit_weights = seven_bit_weights

    def call(self, model: ir.Model) -> PassResult:
        """Quantize a copy of the model."""
        proto = ir.to_proto(model)
        excluded = [
            node.name
            for node in proto.graph.node
            if (place := place_within(node.name, self._layers)) is not None
            and (node.op_type != "Conv" or place.startswith(PRODUCT))
        ]
        self.unmatched = [Unmatched(name, "compiled layers stay in float32") for name in excluded]
        with TemporaryDirectory() as folder, _quiet_quantizer():
            path = Path(folder) / "int8.onnx"
            self._quantize(model, proto, path, excluded)
            quantized = ir.load(path)
            ir.external_data.load_to_model(quantized)
        return PassResult(quantized, modified=True)

    def _quantize(self, model: ir.Model, proto: onnx.ModelProto, path: Path, excluded: list[str]) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

        first = {axes[0] for value in proto.graph.input if (axes := _axes(value))}
        alike = len(first) == 1

        # Inputs whose samples lie along different axes, such as states, are one call.
        def batches() -> Iterator[Mapping[str, Array]]:
            return split(self._calibration, self._batch) if alike else iter([dict(self._calibration)])

        nodes = [node for node in model.graph if node.op_type in _QUANTIZED and node.name not in excluded]
        known = {
            name: tuple(np.asarray(end, np.float32) for end in ends)
            for name, ends in activation_ranges(model, nodes, batches).items()
        }
        ranges = path.with_name("ranges.json")
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, known), ranges)
        quantize_static(
            proto,
            path,
            calibration_cache_path=ranges,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_exclude=excluded,
            per_channel=True,
            reduce_range=self._seven_bit_weights,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )


def _axes(value: onnx.ValueInfoProto) -> list[int | str]:
    """Lengths and names of the axes of an input."""
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@contextmanager
def _quiet_quantizer() -> Iterator[None]:
    """Keep its advice to preprocess the model, which the compiler has done, from the user."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().setLevel(level)
