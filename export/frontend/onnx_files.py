"""ONNX models: read from files, exported from torch modules, and written as bytes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from dashdeploy.errors import InputError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

_LARGEST = 2**31 - 2**20
"""Bytes of weights that one message of protobuf takes, with some room for the graph."""


def read_onnx(path: Path) -> ir.Model:
    """Read and check an ONNX file of any opset; external data beside it is found.

    Dimensions of -1, which Paddle writes for dynamic axes, become dynamic. Shapes that contradict what the operators
    compute, of which ONNX Runtime only warns, are taken from these.

    Raises:
        InputError: the file is missing, is not an ONNX model, is truncated, or lacks its external data.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a run of dashdeploy search or an ONNX model")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; export the model again")
        onnx.checker.check_model(str(path))
        proto = onnx.load(path)  # external data comes into memory
        _free_negative_dimensions(proto.graph)
        _correct_shapes(proto)
        model = ir.from_proto(proto)
        if any(isinstance(node.name, bytes) for node in model.graph.all_nodes()):
            raise ValueError("a node's name is not UTF-8")
    except InputError:
        raise
    except Exception as error:  # protobuf, the checker and onnx_ir each have their own for a bad file
        raise InputError(f"{path} is not a valid ONNX model: {first_line(error)}; export it again") from error
    return model


def _free_negative_dimensions(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_value < 0:
                axis.ClearField("dim_value")


def _correct_shapes(model: onnx.ModelProto) -> None:
    """Give outputs that are declared with another shape than they have their own, and forget such values between."""
    if model.ByteSize() > _LARGEST:
        return
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        graph = onnx.shape_inference.infer_shapes(bare).graph
    except Exception:  # what cannot be inferred contradicts nothing
        return
    inferred = {value.name: value for value in (*graph.value_info, *graph.output)}
    for output in model.graph.output:
        if _contradict(output, inferred.get(output.name)):
            output.type.CopyFrom(inferred[output.name].type)
    wrong = [value for value in model.graph.value_info if _contradict(value, inferred.get(value.name))]
    for value in wrong:
        model.graph.value_info.remove(value)


def _contradict(declared: onnx.ValueInfoProto, inferred: onnx.ValueInfoProto | None) -> bool:
    """Whether two shapes of one value differ in their number of axes or in a length that both know."""
    if inferred is None or not all(each.type.tensor_type.HasField("shape") for each in (declared, inferred)):
        return False
    one, other = (each.type.tensor_type.shape.dim for each in (declared, inferred))
    return len(one) != len(other) or any(
        a.dim_value != b.dim_value
        for a, b in zip(one, other, strict=True)
        if a.HasField("dim_value") and b.HasField("dim_value")
    )


def with_constant_weights(model: ir.Model) -> tuple[ir.Model, list[str]]:
    """A copy of `model` whose initializers are not inputs as well, and the names of those that were.

    Up to IR version 3 every weight is an input, too, and exporters have an option that writes later models so. It
    lets callers replace weights; nobody who runs a bundle does, and no compiler can do anything with such weights.
    """
    given = [str(value.name) for value in model.graph.inputs if value.const_value is not None]
    if not given:
        return model, []
    fixed = model.clone()
    for value in [value for value in fixed.graph.inputs if value.name in given]:
        fixed.graph.inputs.remove(value)
    fixed.ir_version = max(fixed.ir_version, 4)
    return fixed, given


def with_input_shapes(
    model: ir.Model, shapes: Mapping[str, tuple[int, ...]], *, batch: bool = False
) -> ir.Model:
    """A copy of `model` whose inputs have fixed shapes; a dynamic batch stays dynamic.

    Args:
        model: any model; it is not changed.
        shapes: [batch, ...] by input name.
        batch: whether the first axis is fixed as well.

    Raises:
        InputError: `shapes` names no input, or contradicts the model.
    """
    fixed = model.clone()
    inputs = {value.name: value for value in fixed.graph.inputs}
    for name, shape in shapes.items():
        value = inputs.get(name)
        if value is None:
            known = ", ".join(str(known) for known in inputs)
            raise InputError(f"`input_shapes={name}`: the model has no such input; it has {known}")
        if value.shape is None:
            value.shape = ir.Shape(shape)
            continue
        if len(shape) != len(value.shape):
            raise InputError(
                f"`input_shapes={name}`: {len(shape)} axes, but the model's {name} has {len(value.shape)}"
            )
        for axis, (wanted, there) in enumerate(zip(shape, value.shape, strict=True)):
            if isinstance(there, int) and there != wanted:
                raise InputError(f"`input_shapes={name}`: axis {axis} is {wanted}, but the model has {there}")
        # The batch stays dynamic where the model has it so; the compiled model takes any batch.
        sizes = [
            there if axis == 0 and not batch else wanted
            for axis, (wanted, there) in enumerate(zip(shape, value.shape, strict=True))
        ]
        value.shape = ir.Shape(sizes)
    return fixed


def from_torch(module: nn.Module, sample: torch.Tensor, *, input_name: str, output_name: str) -> ir.Model:
    """Export a module with a dynamic batch, as torch writes it.

    Args:
        module: in evaluation mode, one input and one output.
        sample: an input of batch 2 or more ([batch, channels, *spatial]); torch specializes a batch of 1.
        input_name: the model's input.
        output_name: the model's output.
    """
    import torch

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
    return program.model


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


def serialized(model: ir.Model) -> bytes:
    """The bytes of `model`, weights included.

    Raises:
        InputError: they are too many; the spectra of a convolution's taps may be several times its weights.
    """
    tensors = (value.const_value for value in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    if size > _LARGEST:
        raise InputError(
            f"the model would be {size / 1e9:.1f} GB with its convolutions lowered and an ONNX file holds 2 GB; "
            "export it with `lowering=direct`"
        )
    return bytes(ir.to_proto(model).SerializeToString())
