"""Cuts a graph into stages that run one after the other: native ones, and what is left to ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from dashdeploy.errors import InputError
from dashdeploy.runtimes.native.graph_file import DOMAIN
from dashdeploy.runtimes.native.operators import is_computed
from dashdeploy.runtimes.native.shapes import Facts, has_subgraph


@dataclass(frozen=True)
class Stage:
    """Nodes that one engine runs.

    Attributes:
        native: whether the native kernels run them.
        nodes: in order.
        inputs: values from before; constants do not count.
        outputs: values that are needed later.
    """

    native: bool
    nodes: tuple[NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def stages_of(model: ModelProto, facts: Facts) -> list[Stage]:
    """The stages of a model, in order.

    Raises:
        InputError: a node of the native domain cannot be run, or the model has control flow.
    """
    graph = model.graph
    names: dict[str, int] = {}
    levels: list[int] = []
    for node in graph.node:
        if has_subgraph(node):
            raise InputError(
                f"{node.op_type} has a subgraph: the native kernels do not run models with control flow"
            )
        native = is_computed(node, facts)
        if node.domain == DOMAIN and not native:
            raise InputError(
                f"{node.op_type} {node.name}: no native kernel computes it; its input's sizes are not known"
            )
        # Even levels are native. A node stands at the first level of its kind that none of its inputs comes after.
        level = max((names.get(name, 0) for name in node.input), default=0)
        level += level % 2 != (0 if native else 1)
        levels.append(level)
        names.update(dict.fromkeys(filter(None, node.output), level))
    wanted = {value.name for value in graph.output}
    found = []
    for level in sorted(set(levels)):
        nodes = [node for node, at in zip(graph.node, levels, strict=True) if at == level]
        later = {
            name for node, at in zip(graph.node, levels, strict=True) if at > level for name in node.input
        }
        produced = [name for node in nodes for name in node.output if name]
        read = dict.fromkeys(name for node in nodes for name in node.input if name)
        inputs = [name for name in read if name not in produced and name not in facts.constants]
        outputs = [name for name in produced if name in later or name in wanted]
        found.append(Stage(level % 2 == 0, tuple(nodes), tuple(inputs), tuple(outputs)))
    return found


def portable_model(model: ModelProto, stage: Stage, facts: Facts) -> bytes:
    """The nodes that are left to ONNX Runtime as a model of their own."""
    used = {name for node in stage.nodes for name in node.input}
    initializers = [each for each in model.graph.initializer if each.name in used]
    graph = helper.make_graph(
        list(stage.nodes),
        model.graph.name or "stage",
        [_info(name, facts) for name in stage.inputs],
        [_info(name, facts) for name in stage.outputs],
        initializers,
    )
    opsets = [each for each in model.opset_import if each.domain != DOMAIN]
    return bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version).SerializeToString()
    )


def _info(name: str, facts: Facts) -> ValueInfoProto:
    return facts.infos.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
