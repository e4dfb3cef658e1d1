"""Half precision: the ONNX model itself is converted, since TensorRT's networks are strongly typed.

Inputs and outputs of the model stay float32. Every node computes either in half or in float32, and casts stand where
the two meet, one per value. In float32 stay: what engines have no half kernel for, what has unknown types, and as
much of the FFT and Toom-Cook convolutions as parity asks for (what they add up cancels, which half precision may not
stand). Their taps are stored in half precision and transformed in float32, when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import PreconditionError

from dashdeploy.export.frontend.graph_values import UnusedNames, constant, value_names
from dashdeploy.export.lowerings.graph_writer import PRODUCT, TAPS, place_within
from dashdeploy.export.passes.base import GraphPass

COMPILED_IN_FP16 = ("everything", "products", "nothing")
"""How much of an FFT or Toom-Cook convolution is computed in half precision, from most to least."""

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


class ConvertToFp16(GraphPass):
    """Every node that can computes in half precision, behind casts where it meets one that cannot.

    Needs: types and shapes were inferred; no control flow, whose bodies are not converted. `unmatched` names what
    stays in float32.

    Args:
        compiled_layers: names of the layers that dashdeploy wrote.
        part: how much of those is converted as well, one of `COMPILED_IN_FP16`.
        kept: values that are computed in float32, by the name of what a node writes first.
    """

    def __init__(self, compiled_layers: Collection[str], part: str, kept: Collection[str] = ()) -> None:
        super().__init__()
        self._kept = kept
        self._layers = compiled_layers
        self._part = part

    def requires(self, model: ir.Model) -> None:
        """Refuse control flow."""
        operator = control_flow(model)
        if operator is not None:
            raise PreconditionError(f"{operator} has a subgraph, which cannot be converted")

    def rewrite(self, model: ir.Model) -> bool:
        """Convert what can be converted; the model's inputs and outputs keep their names and types."""
        conversion = _Conversion(model.graph, self._layers, self._part, self._kept)
        conversion.run()
        for node, reason in conversion.stays.items():
            self.leave(node.name, reason)
        return conversion.modified


def control_flow(model: ir.Model) -> str | None:
    """The first operator of the main graph that has a subgraph; None if there is none."""
    for node in model.graph:
        if any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()):
            return node.op_type
    return None


class _Conversion:
    """The conversion of one graph.

    Attributes:
        modified: whether any node computes in half precision.
        stays: the nodes that stay in float32, with the reason.
    """

    def __init__(
        self, graph: ir.Graph, compiled_layers: Collection[str], part: str, kept: Collection[str]
    ) -> None:
        self._kept = kept
        self.modified = False
        self.stays: dict[ir.Node, str] = {}
        self._graph = graph
        self._layers = compiled_layers
        self._part = part
        self._opset = graph.opset_imports[""]
        self._names = UnusedNames(value_names(graph))
        self._casts: dict[tuple[int, ir.DataType], ir.Value] = {}
        self._stored: dict[int, ir.Value] = {}

    def run(self) -> None:
        nodes = list(self._graph)
        halves = {id(node) for node in nodes if self._computes_in_half(node)}
        self.modified = bool(halves)
        floats = {id(value) for node in nodes for value in node.outputs if value.dtype == _FLOAT}
        floats |= {id(value) for value in self._graph.inputs if value.dtype == _FLOAT}
        for node in nodes:  # the graph's own order: what is read has its new type already
            in_half = id(node) in halves
            for index, value in enumerate(node.inputs):
                if self._is_taps(value):
                    assert value is not None
                    node.replace_input_with(index, self._stored_in_half(value))
                elif value is not None and (id(value) in floats or _is_float_constant(value)):
                    to = _HALF if in_half and self._takes_half(node, index) else _FLOAT
                    node.replace_input_with(index, self._as(value, to))
            if in_half:
                for value in node.outputs:
                    if value.dtype == _FLOAT:
                        value.type = ir.TensorType(_HALF)
        self._restore_outputs()

    def _computes_in_half(self, node: ir.Node) -> bool:
        obstacle = self._obstacle(node)
        if obstacle is not None:
            self.stays[node] = obstacle
        return obstacle is None

    def _obstacle(self, node: ir.Node) -> str | None:
        """Why a node does not compute in half precision; None if it does."""
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST

        if node.domain not in ("", "ai.onnx") or node.op_type in {*DEFAULT_OP_BLOCK_LIST, "Cast", "Constant"}:
            return f"engines have no {node.op_type} in half precision"
        if node.outputs[0].name in self._kept:
            return "the whole model's parity needs it in float32"
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        if any(value.dtype is None for value in values):
            return "the types of its inputs and outputs are not known"
        floats = [
            index for index, value in enumerate(node.inputs) if value is not None and value.dtype == _FLOAT
        ]
        if not any(self._takes_half(node, index) for index in floats) or not self._gives_half(node):
            return f"{node.op_type} takes or gives no half precision here"
        place = place_within(str(node.name), self._layers)
        if place is None or (node.op_type == "Conv" and not place.startswith(PRODUCT)):
            return None
        if place.startswith(TAPS):
            return "it is computed once, when the model is loaded"
        is_product = node.op_type in ("MatMul", "Conv") and place.startswith(PRODUCT)
        if self._part == "everything" or (self._part == "products" and is_product):
            return None
        return f"of its compiled layer, {self._part} is in half precision"

    def _takes_half(self, node: ir.Node, index: int) -> bool:
        """Whether the operator's definition admits half precision for an input: Resize takes no half scales."""
        schema = self._schema(node)
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]  # the last one may stand for many
        return "tensor(float16)" in formal.types

    def _gives_half(self, node: ir.Node) -> bool:
        """Whether it admits half precision for every output that is float32 now."""
        formals = self._schema(node).outputs
        return all(
            "tensor(float16)" in formals[min(index, len(formals) - 1)].types
            for index, value in enumerate(node.outputs)
            if value.dtype == _FLOAT
        )

    def _schema(self, node: ir.Node) -> onnx.defs.OpSchema:
        return onnx.defs.get_schema(node.op_type, self._opset, "")

    def _is_taps(self, value: ir.Value | None) -> bool:
        """Whether a value is the taps of a compiled layer that is in half precision at all."""
        if value is None or self._part == COMPILED_IN_FP16[-1] or not _is_float_constant(value):
            return False
        place = place_within(str(value.name), self._layers)
        return place is not None and place.partition(".")[0] == TAPS

    def _stored_in_half(self, taps: ir.Value) -> ir.Value:
        """Taps behind a cast to float32."""
        known = self._stored.get(id(taps))
        if known is None:
            known = self._stored[id(taps)] = self._cast(self._as(taps, _HALF), _FLOAT)
        return known

    def _as(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        """`value` in the type `to`: itself, a constant of that type, or a cast, made once."""
        if value.dtype == to:
            return value
        known = self._casts.get((id(value), to))
        if known is None:
            tensor = constant(value)
            known = self._cast(value, to) if tensor is None else self._converted(str(value.name), tensor, to)
            self._casts[id(value), to] = known
        return known

    def _converted(self, name: str, tensor: ir.TensorProtocol, to: ir.DataType) -> ir.Value:
        name = self._names.give(f"{name}.{to.name.lower()}")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which the parity check finds
            array = tensor.numpy().astype(to.numpy())
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(to),
            const_value=ir.Tensor(array, name=name),
        )
        self._graph.register_initializer(value)
        return value

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        name = self._names.give(f"{value.name}.{to.name.lower()}")
        output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(to))
        node = ir.node("Cast", [value], {"to": int(to)}, outputs=[output], name=name)
        producer = value.producer()
        if producer is not None:
            self._graph.insert_after(producer, node)
        else:
            self._graph.insert_before(self._graph[0], node)
        return output

    def _restore_outputs(self) -> None:
        """The model's outputs stay float32 under their names."""
        for index, value in enumerate(self._graph.outputs):
            if value.dtype == _HALF and value.producer() is not None:
                name = str(value.name)
                value.name = self._names.give(f"{name}.half")
                output = self._cast(value, _FLOAT)
                output.name = name
                self._graph.outputs[index] = output


def _is_float_constant(value: ir.Value) -> bool:
    return value.dtype == _FLOAT and constant(value) is not None
