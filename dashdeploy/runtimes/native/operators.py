"""Which nodes a native stage computes; `steps` writes them. What is not named here runs in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from onnx import NodeProto

from dashdeploy.runtimes.native.graph_file import DOMAIN, FUSED_CONV
from dashdeploy.runtimes.native.program import Activation
from dashdeploy.runtimes.native.shapes import Facts, attributes, per_channel

ACTIVATIONS: Mapping[str, Activation] = {
    "Relu": Activation.RELU,
    "Gelu": Activation.GELU,
    "Sigmoid": Activation.SIGMOID,
    "Tanh": Activation.TANH,
}


def is_computed(node: NodeProto, facts: Facts) -> bool:
    """Whether a native stage can compute a node."""
    if node.domain == DOMAIN:
        return node.op_type == FUSED_CONV and node.input[0] in facts.shapes
    check = _CHECKS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if check is None or node.output[0] not in facts.shapes:
        return False
    if any(node.output[1:]) and node.op_type != "Split":
        return False
    return check(node, facts)


def _spatial(node: NodeProto, facts: Facts, ranks: tuple[int, ...] = (1, 2)) -> bool:
    shape = facts.shapes.get(node.input[0])
    return shape is not None and len(shape) - 1 in ranks


def _activation(node: NodeProto, facts: Facts) -> bool:
    exact = attributes(node).get("approximate", "none") == "none"
    return exact and _spatial(node, facts, (0, 1, 2))


def _add(node: NodeProto, facts: Facts) -> bool:
    left, right = (facts.shapes.get(name) for name in node.input)
    if left is not None and right is not None:
        return left == right and len(left) <= 3
    return _scale(node, facts)


def _scale(node: NodeProto, facts: Facts) -> bool:
    for value, other in (node.input, reversed(node.input)):
        shape, array = facts.shapes.get(value), facts.constants.get(other)
        if shape is not None and array is not None and len(shape) <= 3:
            return per_channel(array, shape) is not None and facts.shapes[node.output[0]] == shape
    return False


def _batch_norm(node: NodeProto, facts: Facts) -> bool:
    known = all(name in facts.constants for name in node.input[1:])
    return known and not attributes(node).get("training_mode", 0) and _spatial(node, facts, (0, 1, 2))


def _pool(node: NodeProto, facts: Facts) -> bool:
    found = attributes(node)
    explicit = found.get("auto_pad", "NOTSET") == "NOTSET" and not found.get("ceil_mode", 0)
    return explicit and min(found.get("pads", [0])) >= 0 and _spatial(node, facts)


def _global_pool(node: NodeProto, facts: Facts) -> bool:
    return _spatial(node, facts)


def _reduce_mean(node: NodeProto, facts: Facts) -> bool:
    shape, axes = facts.shapes.get(node.input[0]), reduced_axes(node, facts)
    if shape is None or axes is None or len(shape) not in (2, 3):
        return False
    rank = len(shape) + 1
    return sorted(axis % rank for axis in axes) == list(range(2, rank))


def reduced_axes(node: NodeProto, facts: Facts) -> list[int] | None:
    """The axes of a reduction, an attribute or an input."""
    if len(node.input) > 1:
        axes = facts.constants.get(node.input[1])
        return None if axes is None else [int(axis) for axis in axes.reshape(-1)]
    return attributes(node).get("axes")


def _concat(node: NodeProto, facts: Facts) -> bool:
    shapes = [facts.shapes.get(name) for name in node.input]
    first = shapes[0]
    if first is None or attributes(node)["axis"] not in (1, -len(first)):
        return False
    return len(first) <= 3 and all(shape is not None and shape[1:] == first[1:] for shape in shapes)


def _flatten(node: NodeProto, facts: Facts) -> bool:
    shape = facts.shapes.get(node.input[0])
    return shape is not None and prod(shape[1:]) == 1 and facts.shapes[node.output[0]] == shape[:1]


def _gemm(node: NodeProto, facts: Facts) -> bool:
    found = attributes(node)
    plain = not found.get("transA", 0) and found.get("alpha", 1.0) == found.get("beta", 1.0) == 1.0
    bias = node.input[2] if len(node.input) > 2 else ""
    if bias and (
        bias not in facts.constants or facts.constants[bias].size != facts.shapes[node.output[0]][0]
    ):
        return False
    return plain and _matrix(node, facts)


def _matrix(node: NodeProto, facts: Facts) -> bool:
    shape, matrix = facts.shapes.get(node.input[0]), facts.constants.get(node.input[1])
    return shape is not None and len(shape) == 1 and matrix is not None and matrix.ndim == 2


def _gather(node: NodeProto, facts: Facts) -> bool:
    index = facts.constants.get(node.input[1])
    one = index is not None and index.size == 1 and index.ndim == 0
    return one and attributes(node).get("axis", 0) in (2, -1) and _spatial(node, facts, (1,))


def sliced(node: NodeProto, facts: Facts) -> tuple[list[int], list[int]] | None:
    """First indices and sizes, per axis of the input without the batch, of a Slice of step 1; None for others."""
    shape = facts.shapes.get(node.input[0])
    given = [facts.constants.get(name) for name in node.input[1:]]
    if shape is None or len(given) < 2 or any(each is None for each in given):
        return None
    starts, ends, *rest = ([int(value) for value in each.reshape(-1)] for each in given if each is not None)
    axes = rest[0] if rest else list(range(len(starts)))
    if len(rest) > 1 and any(step != 1 for step in rest[1]):
        return None
    first, sizes = [0] * len(shape), list(shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        mine = axis % (len(shape) + 1) - 1
        if mine < 0:
            return None  # of the batch
        low, high = (min(max(x + shape[mine] if x < 0 else x, 0), shape[mine]) for x in (start, end))
        first[mine], sizes[mine] = low, high - low
    return first, sizes


def _slice(node: NodeProto, facts: Facts) -> bool:
    found = sliced(node, facts)
    if found is None or not _spatial(node, facts):
        return False
    # Rows of a plane lie one behind the other, so of two spatial axes the last one stays whole.
    return min(found[1]) > 0 and (len(found[1]) == 2 or found[1][2] == facts.shapes[node.input[0]][2])


def split_sizes(node: NodeProto, facts: Facts) -> list[int] | None:
    """Channels of the outputs of a Split along the channels; None for others."""
    shape = facts.shapes.get(node.input[0])
    outputs = [facts.shapes.get(name) for name in node.output]
    if shape is None or attributes(node).get("axis", 0) not in (1, -len(shape)):
        return None
    sizes = [each[0] for each in outputs if each is not None]
    return sizes if len(sizes) == len(outputs) and sum(sizes) == shape[0] else None


def _split(node: NodeProto, facts: Facts) -> bool:
    return split_sizes(node, facts) is not None and _spatial(node, facts)


def _identity(node: NodeProto, facts: Facts) -> bool:
    return node.input[0] in facts.shapes and len(facts.shapes[node.input[0]]) <= 3


_CHECKS: Mapping[str, Callable[[NodeProto, Facts], bool]] = {
    **dict.fromkeys(ACTIVATIONS, _activation),
    "Add": _add,
    "Mul": _scale,
    "BatchNormalization": _batch_norm,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "ReduceMean": _reduce_mean,
    "Concat": _concat,
    "Flatten": _flatten,
    "Squeeze": _flatten,
    "Gemm": _gemm,
    "MatMul": _matrix,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Identity": _identity,
}
