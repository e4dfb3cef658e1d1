"""Values of a graph that nothing can change at run time."""

from __future__ import annotations

import onnx_ir as ir


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of a constant value, or None.

    An initializer that is also an input of the graph is a default that the model's user may replace: not
    constant.
    """
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)
