"""Errors of TensorRT's ONNX parser in one line: which layer, which operator, what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dashdeploy.errors import DashdeployError, GateError, InputError
from dashdeploy.export.lowerings.graph_writer import layer_of
from dashdeploy.runtimes.tensorrt_flavors import Flavor


@dataclass(frozen=True)
class ParserError:
    """One error of `trt.OnnxParser`.

    Attributes:
        number: the node's place in the graph.
        node: its name; may be empty.
        operator: its operator; may be empty.
        code: the parser's code, such as ``UNSUPPORTED_NODE``.
        reason: what the parser says.
    """

    number: int
    node: str
    operator: str
    code: str
    reason: str


def parser_error(
    errors: Sequence[ParserError], flavor: Flavor, compiled_layers: Collection[str]
) -> DashdeployError:
    """The error that a refused model ends with.

    Args:
        errors: what the parser found; the first one counts.
        flavor: whose parser it is.
        compiled_layers: names of the layers that dashdeploy wrote; a refused operator of
            theirs is not the user's fault.
    """
    if not errors:
        return InputError(f"{flavor.title} cannot parse the model and gives no reason")
    error = errors[0]
    where = f"operator {error.operator}" if error.operator else f"node number {error.number}"
    # A failed assertion without words is reported as the word "false".
    why = error.code if error.reason in ("", "false") else f"{error.code}: {error.reason}"
    layer = layer_of(error.node, compiled_layers)
    if layer is not None:
        return GateError(
            f"{flavor.title} does not parse {where} of the compiled layer {layer} ({why}); "
            f"nothing was written; `lowering=direct` leaves the layer as it is"
        )
    at = f" at node {error.node}" if error.node else ""
    return InputError(
        f"{flavor.title} does not parse {where}{at} ({why}); nothing was written; "
        f"replace the operator in the model, or leave `{flavor.parameter}` out"
    )
