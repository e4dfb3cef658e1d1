"""A model of one convolution, to measure a candidate or to test a lowering on its own."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter

OPSET = 20
IR_VERSION = 10


def single_layer_model(lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None) -> ir.Model:
    """The model ``y = conv(x)`` with a dynamic batch, computed by `lowering`.

    Args:
        lowering: how to compute it.
        spec: the convolution.
        weight: [out_channels, in_channels / groups, *kernel].
        bias: [out_channels], or None.
    """
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))
    x = ir.Value(name="x", shape=ir.Shape(["batch", spec.in_channels, *spec.spatial]), type=kind)
    writer = GraphWriter("layer")
    y = lowering.write(writer, spec, x, weight, bias)
    y.name = "y"
    y.shape = ir.Shape(["batch", spec.out_channels, *spec.out_spatial])
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


def random_weights(spec: ConvSpec, seed: int = 0) -> tuple[Weights, Weights | None]:
    """Weights of the usual scale (He) and a bias, for `spec`."""
    generator = np.random.default_rng(seed)
    shape = (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
    weight = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    bias = generator.standard_normal(spec.out_channels).astype(spec.dtype) if spec.bias else None
    return weight.astype(spec.dtype), bias
