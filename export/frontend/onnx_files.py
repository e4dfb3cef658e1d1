"""Reads ONNX files that others wrote, and turns torch modules into ONNX models of the same form."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)
from onnxscript.optimizer import fold_constants
from torch import nn

from dashdeploy.errors import InputError, first_line
from dashdeploy.export.passes.constants import constant
from dashdeploy.export.passes.fold_batch_norm import fold_batch_norms
from dashdeploy.export.passes.fold_pads import fold_pads
from dashdeploy.export.passes.sink_batch_norm_through_concat import split_norms

OLDEST_OPSET = 13

_MOST_FOLDED = 2**28
"""Numbers of the largest tensor that takes part in constant folding."""

_SHORT = 64
"""Numbers of a list of sizes or paddings at most: two per axis, of more axes than anyone has."""


def read_onnx(path: Path) -> ir.Model:
    """Read and check an ONNX file; external data beside it is found.

    Raises:
        InputError: the file is missing, is not an ONNX model, is truncated, lacks its external data, or has
            an opset older than 13.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a run of dashdeploy search or an ONNX model")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; export the model again")
        onnx.checker.check_model(str(path))
        model = ir.from_proto(onnx.load(path))  # external data comes into memory
        if any(isinstance(node.name, bytes) for node in model.graph.all_nodes()):
            raise ValueError("a node's name is not UTF-8")
    except InputError:
        raise
    except Exception as error:  # protobuf, the checker and onnx_ir each have their own for a bad file
        raise InputError(f"{path} is not a valid ONNX model: {first_line(error)}; export it again") from error
    opset = model.opset_imports.get("", 0)
    if opset < OLDEST_OPSET:
        raise InputError(
            f"{path} has opset {opset}; dashdeploy needs {OLDEST_OPSET} or later; "
            "convert it with onnx.version_converter.convert_version"
        )
    return model


def prepare(model: ir.Model, input_shapes: Mapping[str, tuple[int, ...]] | None = None) -> ir.Model:
    """A copy of `model` that is ready for the compiler: functions inlined, constants folded, shapes known.

    Padding and batch norms around convolutions become part of them.

    Args:
        model: any model; it is not changed.
        input_shapes: shapes to fix, by input name.

    Raises:
        InputError: `input_shapes` names no input, or contradicts the model.
    """
    prepared = model.clone()
    _fix_inputs(prepared, input_shapes or {})
    if prepared.functions:
        InlinePass()(prepared)
    # Weight norm and the like: what is computed from weights alone becomes a weight.
    fold_constants(
        prepared,
        onnx_shape_inference=False,
        input_size_limit=_MOST_FOLDED,
        output_size_limit=_MOST_FOLDED,
        should_fold=_is_short_list,
    )
    LiftConstantsToInitializersPass(lift_all_constants=False)(prepared)
    fold_pads(prepared.graph)
    split_norms(prepared.graph)
    fold_batch_norms(prepared.graph)
    RemoveUnusedNodesPass()(prepared)
    ClearMetadataAndDocStringPass()(prepared)
    ShapeInferencePass(strict_mode=False)(prepared)
    return prepared


def _is_short_list(node: ir.Node) -> bool | None:
    """True for a ConstantOfShape of a few numbers; None leaves the decision to the pass, which keeps them all.

    torch's older exporter computes the amounts of a Pad with one, and no shape behind that Pad is known without them.
    """
    shape = constant(node.inputs[0]) if node.op_type == "ConstantOfShape" else None
    return True if shape is not None and np.prod(shape.numpy()) <= _SHORT else None


def from_torch(module: nn.Module, sample: torch.Tensor, *, input_name: str, output_name: str) -> ir.Model:
    """Export a module with a dynamic batch.

    Args:
        module: in evaluation mode, one input and one output.
        sample: an input of batch 2 or more ([batch, channels, *spatial]); torch specializes a batch of 1.
        input_name: the model's input.
        output_name: the model's output.
    """
    with _quiet_exporter():
        program = torch.onnx.export(
            module,
            (sample,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[input_name],
            output_names=[output_name],
        )
    assert program is not None
    return prepare(program.model)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep torch's remarks about packages that play no part here from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _fix_inputs(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
    inputs = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = inputs.get(name)
        if value is None:
            known = ", ".join(str(known) for known in inputs)
            raise InputError(f"--input-shape {name}: the model has no such input; it has {known}")
        if value.shape is None:
            value.shape = ir.Shape(shape)
            continue
        if len(shape) != len(value.shape):
            raise InputError(
                f"--input-shape {name}: {len(shape)} axes, but the model's {name} has {len(value.shape)}"
            )
        for axis, (wanted, there) in enumerate(zip(shape, value.shape, strict=True)):
            if isinstance(there, int) and there != wanted:
                raise InputError(f"--input-shape {name}: axis {axis} is {wanted}, but the model has {there}")
        # The batch stays dynamic where the model has it so; the compiled model takes any batch.
        fixed = [
            there if axis == 0 else wanted
            for axis, (wanted, there) in enumerate(zip(shape, value.shape, strict=True))
        ]
        value.shape = ir.Shape(fixed)
