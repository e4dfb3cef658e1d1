"""Parity of the branches that no run enters by itself: the conditions of If are set, in both models alike.

A model that takes 8 and 16 kHz is one If, and inputs enter one branch of it. A compiled convolution lies in the
bodies of some Ifs; with the conditions of these set, and all others as they are, it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.graph_values import UnusedNames, graphs_of, is_operator, value_names
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.verify.expectation import Expectation, Feeds
from dashdeploy.export.verify.parity import measure_parity
from dashdeploy.export.verify.parity_report import OutputParity
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Conditions = tuple[tuple[str, bool], ...]
"""(what an If writes first, whether it is true), the outermost If first."""


@dataclass(frozen=True)
class Branch:
    """A way through a model's Ifs.

    Attributes:
        conditions: that lead there.
        layers: the convolutions there.
        expected: what the source says there; None if it does not run there on any known inputs.
    """

    conditions: Conditions
    layers: tuple[str, ...]
    expected: Expectation | None

    @property
    def label(self) -> str:
        """In words, for the labels of inputs."""
        return ", ".join(
            f"{name} by its {'then' if taken else 'else'} branch" for name, taken in self.conditions
        )

    def compare(
        self, model: ir.Model, load: Callable[[bytes], Runtime], precision: str, tolerance: float
    ) -> list[OutputParity]:
        """Compare a compiled model with the source there; nothing if that is not known.

        Args:
            model: the compiled model.
            load: loads it.
            precision: the model's.
            tolerance: the largest error allowed.
        """
        if self.expected is None:
            return []
        runtime = load(serialized(forced(model, self.conditions)))
        parity, _ = measure_parity(runtime, self.expected, precision, tolerance=tolerance)
        return [
            entry.model_copy(update={"inputs": f"{entry.inputs}, {self.label}"}) for entry in parity.outputs
        ]


def branches(direct: ir.Model, source: Source, expected: Expectation) -> list[Branch]:
    """Every way to a convolution in a body of an If.

    Args:
        direct: the all-direct model.
        source: what it came from.
        expected: what the source says where its own conditions lead; its inputs are tried.
    """
    layers: dict[Conditions, list[str]] = {}
    inside = dict(_conditions(direct.graph, ()))
    for convolution in find_convolutions(direct):
        conditions = inside.get(convolution.node, ())
        if conditions:
            layers.setdefault(conditions, []).append(convolution.name)
    return [
        Branch(conditions, tuple(names), _expectation(source, expected, conditions))
        for conditions, names in layers.items()
    ]


def forced(model: ir.Model, conditions: Conditions) -> ir.Model:
    """A copy of a model whose Ifs have these conditions.

    Raises:
        KeyError: the model has no such If.
    """
    copy = model.clone()
    names = UnusedNames(value_names(copy.graph))
    ifs = {
        node.outputs[0].name: node for graph in graphs_of(copy) for node in graph if is_operator(node, "If")
    }
    for output, taken in conditions:
        tensor = ir.Tensor(np.array(taken), name=names.give(f"{output}/condition"))
        value = ir.Value(
            name=tensor.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        copy.graph.register_initializer(value)
        ifs[output].replace_input_with(0, value)
    return copy


def _conditions(graph: ir.Graph, outer: Conditions) -> Iterator[tuple[ir.Node, Conditions]]:
    """Every node of a graph and of its bodies, with the conditions that lead there."""
    for node in graph:
        yield node, outer
        for name, body in _bodies(node).items():
            here = ((str(node.outputs[0].name), name == "then_branch"),) if is_operator(node, "If") else ()
            yield from _conditions(body, (*outer, *here))


def _bodies(node: ir.Node) -> Mapping[str, ir.Graph]:
    return {
        name: attribute.as_graph()
        for name, attribute in node.attributes.items()
        if attribute.type == ir.AttributeType.GRAPH
    }


def _expectation(source: Source, expected: Expectation, conditions: Conditions) -> Expectation | None:
    """On those of the known inputs that the source runs on there."""
    try:
        reference = OnnxRuntime(serialized(forced(source.model, conditions))).run
    except Exception:  # the If is not in the source under this name, or the engine refuses the model
        return None
    sets = [labelled for labelled in expected.sets if _runs(reference, labelled)]
    return Expectation(reference, expected.name, expected.inputs, sets) if sets else None


def _runs(reference: Callable[[Feeds], object], labelled: Sequence[object]) -> bool:
    try:
        reference(labelled[1])  # type: ignore[arg-type]
    except Exception:  # every engine raises classes of its own
        return False
    return True
