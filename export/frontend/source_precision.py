"""The precision that a model computes in already: a source need not be float32."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

_QUANTIZED = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
    }
)

_HALF = {ir.DataType.FLOAT16: "fp16", ir.DataType.BFLOAT16: "bf16"}


def source_precision(model: ir.Model) -> str:
    """The lowest precision that a part of a model computes in: ``fp32``, ``bf16``, ``fp16`` or ``int8``.

    An export in half precision or in eight bits has parts in float32 as well, and is called after the others.
    """
    if any(node.op_type in _QUANTIZED for node in model.graph.all_nodes()):
        return "int8"
    found = {_HALF[kind] for kind in _types(model) if kind in _HALF}
    return next((name for name in ("fp16", "bf16") if name in found), "fp32")


def _types(model: ir.Model) -> Iterator[ir.DataType | None]:
    """Types that say what is computed in: of inputs, weights, constants and casts."""
    for graph in (model.graph, *model.graph.subgraphs()):
        yield from (value.dtype for value in (*graph.inputs, *graph.initializers.values()))
        for node in graph:
            if node.op_type == "Cast" and "to" in node.attributes:
                yield ir.DataType(node.attributes["to"].as_int())
            elif node.op_type == "Constant" and "value" in node.attributes:
                yield node.attributes["value"].as_tensor().dtype
