"""Folds constants: weight norm and the like, what is computed from weights alone, becomes a weight."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnxscript.optimizer import fold_constants

from dashdeploy.export.frontend.graph_values import constant

_MOST_FOLDED = 2**28
"""Numbers of the largest tensor that takes part in constant folding."""

_SHORT = 64
"""Numbers of a list of sizes or paddings at most: two per axis, of more axes than anyone has."""


class FoldConstants(InPlacePass):
    """What depends on constants alone becomes a Constant, by onnxscript's pass, which decides what is folded.

    Needs: no model-local functions. Large weights are folded, too, and short lists of ConstantOfShape.
    """

    def call(self, model: ir.Model) -> PassResult:
        """Fold the constants of the main graph and of the bodies of control flow."""
        return fold_constants(
            model,
            onnx_shape_inference=False,
            input_size_limit=_MOST_FOLDED,
            output_size_limit=_MOST_FOLDED,
            should_fold=_is_short_list,
        )


def _is_short_list(node: ir.Node) -> bool | None:
    """True for a ConstantOfShape of a few numbers; None leaves the decision to the pass, which keeps them all.

    torch's older exporter computes the amounts of a Pad with one, and no shape behind that Pad is known without them.
    """
    shape = constant(node.inputs[0]) if node.op_type == "ConstantOfShape" else None
    return True if shape is not None and np.prod(shape.numpy()) <= _SHORT else None
