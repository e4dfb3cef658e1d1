"""Errors of TensorRT's ONNX parser in one line: which layer, which operator, what to do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dashdeploy.errors import DashdeployError, GateError, InputError
from dashdeploy.runtimes.tensorrt_flavours import Flavour


def parser_error(parser: Any, flavour: Flavour, compiled_layers: Collection[str]) -> DashdeployError:  # noqa: ANN401
    """The error that a refused model ends with.

    Args:
        parser: a `trt.OnnxParser` whose `parse` returned False.
        flavour: whose parser it is.
        compiled_layers: names of the layers that dashdeploy wrote; an operator of theirs that is refused is
            no fault of the user's.
    """
    if parser.num_errors == 0:
        return InputError(f"{flavour.title} cannot parse the model and gives no reason")
    error = parser.get_error(0)
    node, operator = error.node_name(), error.node_operator()
    code = getattr(error.code(), "name", str(error.code()))
    reason = " ".join(error.desc().split())
    where = f"operator {operator}" if operator else f"node number {error.node()}"
    layer = layer_of(node, compiled_layers)
    if layer is not None:
        return GateError(
            f"{flavour.title} does not parse {where} of the compiled layer {layer} ({code}: {reason}); "
            f"nothing was written; --lowering direct leaves the layer as it is"
        )
    at = f" at node {node}" if node else ""
    return InputError(
        f"{flavour.title} does not parse {where}{at} ({code}: {reason}); nothing was written; "
        f"replace the operator in the model, or leave {flavour.option} out"
    )


def layer_of(node: str, layers: Collection[str]) -> str | None:
    """The layer that wrote a node: its name, maybe with apostrophes, is the beginning of the node's."""
    for layer in sorted(layers, key=len, reverse=True):
        if node.startswith(layer) and node[len(layer) :].lstrip("'").startswith("/"):
            return layer
    return None
