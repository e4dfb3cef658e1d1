"""A serialized ONNX model as a torch module, whose constants are folded and whose sizes are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.onnx_interface import interface, with_fixed_batch
from dashdeploy.runtimes.converted.torch_form.node import Node
from dashdeploy.runtimes.converted.torch_form.operators import OPERATORS, Operator

_DOMAINS = ("", "ai.onnx")


class OnnxProgram(nn.Module):
    """An ONNX model in operators of torch. It takes and gives a tensor for each of the model's inputs and outputs.

    Args:
        model: a serialized ONNX model.
        batch: what its dynamic batch becomes.
        operators: what each of its operators is in torch.

    Attributes:
        examples: an input of zeros for each.

    Raises:
        InputError: another axis than the batch is dynamic, or a node has no form in torch.
    """

    examples: tuple[Tensor, ...]

    def __init__(self, model: bytes, batch: int = 1, operators: Mapping[str, Operator] = OPERATORS) -> None:
        import onnx

        super().__init__()
        self._operators = operators
        fixed = with_fixed_batch(model, batch)
        graph = onnx.load_from_string(fixed).graph
        inputs, outputs = interface(fixed)
        self._inputs, self._outputs = [spec.name for spec in inputs], [spec.name for spec in outputs]
        self.examples = tuple(torch.from_numpy(np.zeros(spec.shape, spec.dtype)) for spec in inputs)
        constants = {each.name: _tensor(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
        self._steps: list[_Step] = []
        with torch.no_grad():
            self._build(graph, constants)
        self._buffer_of: dict[str, str] = {}
        for name in dict.fromkeys(
            name for names in (*(step.inputs for step in self._steps), self._outputs) for name in names
        ):
            if name in constants:
                self._buffer_of[name] = f"constant_{len(self._buffer_of)}"
                self.register_buffer(self._buffer_of[name], constants[name].contiguous())

    def _build(self, graph: Any, constants: dict[str, Tensor]) -> None:  # noqa: ANN401 - a message of onnx
        """Run every node on examples: what depends on no input becomes a constant, sizes among it."""
        values = dict(zip(self._inputs, self.examples, strict=True))
        last = {name: number for number, node in enumerate(graph.node) for name in node.input}
        for number, node in enumerate(graph.node):
            step = _step(node, constants, self._operators)
            given = [constants.get(name, values.get(name)) for name in step.inputs]
            results = step.run(given)
            fixed = node.op_type == "Shape" or all(name in constants for name in step.inputs if name)
            (constants if fixed else values).update(zip(step.outputs, results, strict=False))
            if not fixed:
                self._steps.append(step)
            for name in step.inputs:
                if last.get(name) == number and name not in self._outputs:
                    values.pop(name, None)

    def forward(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        """Run the model; several outputs come as a list."""
        values: dict[str, Any] = dict(zip(self._inputs, inputs, strict=True))
        values |= {name: getattr(self, buffer) for name, buffer in self._buffer_of.items()}
        for step in self._steps:
            values.update(
                zip(step.outputs, step.run([values.get(name) for name in step.inputs]), strict=False)
            )
        results = [values[name] for name in self._outputs]
        return results[0] if len(results) == 1 else results


class _Step:
    """A node, with the names of what it takes and gives."""

    def __init__(self, node: Node, operator: Operator, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self._node, self._operator = node, operator

    def run(self, inputs: Sequence[Tensor | None]) -> Sequence[Tensor]:
        result = self._operator(self._node, inputs)
        return [result] if isinstance(result, Tensor) else list(result)


def _step(
    node: Any,  # noqa: ANN401 - a message of onnx
    constants: dict[str, Tensor],
    operators: Mapping[str, Operator],
) -> _Step:
    import onnx

    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    made = Node(
        operator=node.op_type,
        name=node.output[0],
        attributes=attributes,
        constants={i: constants[name].numpy() for i, name in enumerate(node.input) if name in constants},
        given=frozenset(i for i, name in enumerate(node.input) if name),
        outputs=len(node.output),
    )
    if node.domain not in _DOMAINS or node.op_type not in operators:
        raise made.refused("the operator is not known")
    return _Step(made, operators[node.op_type], node.input, node.output)


def _tensor(array: Array) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise InputError(f"a torch program has no constants of {array.dtype}; choose another `target`")
    return torch.from_numpy(np.array(array))
