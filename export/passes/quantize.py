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
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from dashdeploy.export.engines.parser_errors import layer_of
from dashdeploy.export.verify.batches import split
from dashdeploy.runtimes.base import Array

_BATCH = 32
_QUANTIZED = ("Conv", "Gemm", "MatMul")


def to_int8(
    model: ir.Model,
    compiled_layers: Collection[str],
    calibration: Mapping[str, Array],
    batch: int | None = None,
    *,
    seven_bit_weights: bool = False,
) -> ir.Model:
    """A quantized copy of a float32 model.

    Args:
        model: the compiled model; it is not changed.
        compiled_layers: names of the layers that dashdeploy wrote.
        calibration: inputs by name, [samples, ...]: the ranges of the activations are those that they cause.
        batch: the model's batch where it is fixed.
        seven_bit_weights: whether weights stay within -64 to 64, for x86 processors without VNNI.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = split(calibration, batch or _BATCH)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    proto = ir.to_proto(model)
    excluded = [
        node.name
        for node in proto.graph.node
        if node.op_type != "Conv" and layer_of(node.name, compiled_layers) is not None
    ]
    level = logging.getLogger().level
    # It advises to preprocess the model, which the compiler has done.
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "int8.onnx"
            quantize_static(
                proto,
                path,
                Samples(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTIZED),
                nodes_to_exclude=excluded,
                per_channel=True,
                reduce_range=seven_bit_weights,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
            quantized = ir.load(path)
            ir.external_data.load_to_model(quantized)
            return quantized
    finally:
        logging.getLogger().setLevel(level)
