"""A model of one convolution, to measure a candidate or to test a lowering on its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter

OPSET = 20
IR_VERSION = 10


def single_layer_model(
    lowering: Lowering,
    spec: ConvSpec,
    weight: Weights,
    bias: Weights | None,
    *,
    channels_last: bool = False,
) -> ir.Model:
    """The model ``y = conv(x)`` with a dynamic batch, computed by `lowering`.

    Args:
        lowering: how to compute it.
        spec: the convolution.
        weight: [out_channels, in_channels / groups, *kernel].
        bias: [out_channels], or None.
        channels_last: whether x and y are [batch, *spatial, channels], as values between layers are in some engines.
    """
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))
    axes = range(1, spec.rank + 1)
    x = ir.Value(name="x", shape=_shape(spec.in_channels, spec.spatial, channels_last), type=kind)
    writer = GraphWriter("layer")
    first = (
        writer.op("Transpose", "channels_first", x, perm=(0, spec.rank + 1, *axes)) if channels_last else x
    )
    y = lowering.write(writer, spec, first, weight, bias)
    if channels_last:
        y = writer.op("Transpose", "channels_last", y, perm=(0, *(axis + 1 for axis in axes), 1))
    y.name = "y"
    y.shape = _shape(spec.out_channels, spec.out_spatial, channels_last)
    y.type = kind
    graph = ir.Graph(
        [x],
        [y],
        nodes=writer.nodes,
        initializers=writer.initializers,
        opset_imports={"": OPSET},
        name="layer",
    )
    return ir.Model(graph, ir_version=IR_VERSION)


def _shape(channels: int, spatial: Sequence[int], channels_last: bool) -> ir.Shape:
    return ir.Shape(["batch", *spatial, channels] if channels_last else ["batch", channels, *spatial])


def random_weights(spec: ConvSpec, seed: int = 0) -> tuple[Weights, Weights | None]:
    """Weights of the usual scale (He) and a bias, for `spec`."""
    generator = np.random.default_rng(seed)
    shape = (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
    weight = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    bias = generator.standard_normal(spec.out_channels).astype(spec.dtype) if spec.bias else None
    return weight.astype(spec.dtype), bias
