"""Opsets 7 to 12, brought to 13 by onnx's version converter, with what it is known to lose put right.

The converter writes a Resize of opset 10 and an Upsample without the attributes that say what they meant (see
findings/onnx_version_converter_resize_10.sh), copies Hardmax although its meaning changed, and drops metadata. The
attributes and the metadata are restored here; then every value that could have changed is compared in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir

from dashdeploy.errors import InputError, first_line
from dashdeploy.export.frontend.graph_values import constant, is_operator
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

OPSET = 13
"""What the compiler reads and writes at least."""

OLDEST_OPSET = 7
"""What ONNX Runtime promises to run."""

_SAME_FORM_OTHER_MEANING = ("Hardmax", "LogSoftmax", "Resize", "Softmax", "Upsample")

_TOLERANCE = 1e-6
"""Of a value's largest number: the converted operators do the same arithmetic, maybe in another order."""


def with_current_opset(model: ir.Model, path: object) -> ir.Model:
    """A copy of a model of an old opset in opset 13; a model of a newer one itself.

    Args:
        model: of any opset.
        path: what messages call it.

    Raises:
        InputError: the opset is older than 7, the converter fails, or an operator's values change.
    """
    opset = model.opset_imports.get("", OPSET)
    if opset >= OPSET:
        return model
    if opset < OLDEST_OPSET:
        raise InputError(
            f"{path} has opset {opset}; dashdeploy needs {OLDEST_OPSET} or later; "
            f"export the model again with opset {OPSET} or later"
        )
    _refuse_what_no_run_would_show(model, path, opset)
    # From IR version 4 on a weight need not be an input, too.
    before = ir.to_proto(model)
    before.ir_version = max(before.ir_version, 7)
    converted = _converted(before, path, opset)
    after = ir.from_proto(converted)
    if opset < 11:
        for node in after.graph.all_nodes():
            if is_operator(node, "Resize"):
                _sample_as_before(node)
    _restore_metadata(model, after)
    _refuse_changed_values(before, ir.to_proto(after), path, opset)
    return after


def _refuse_what_no_run_would_show(model: ir.Model, path: object, opset: int) -> None:
    """A Hardmax in a body of control flow, which the converter copies: a comparison enters one branch alone."""
    for graph in model.graph.subgraphs():
        for node in graph:
            if is_operator(node, "Hardmax"):
                raise InputError(
                    f"{path} has opset {opset}, and converting it to {OPSET} may change {node.outputs[0].name!r} "
                    f"(Hardmax in a body of control flow); export the model again with opset {OPSET} or later"
                )


def _converted(model: onnx.ModelProto, path: object, opset: int) -> onnx.ModelProto:
    try:
        converted = onnx.version_converter.convert_version(model, OPSET)
        onnx.checker.check_model(converted)
    except Exception as error:  # the converter's own classes, RuntimeError, and whatever protobuf raises
        raise InputError(
            f"{path} has opset {opset}, and onnx cannot convert it to {OPSET}: {first_line(error)}; "
            f"export the model again with opset {OPSET} or later"
        ) from error
    return converted


def _sample_as_before(node: ir.Node) -> None:
    """Give a converted Resize the attributes that mean what opset 10 meant: position x / scale.

    ONNX Runtime rounds that down for the mode ``nearest`` where it enlarges, and up where it shrinks.
    """
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "asymmetric"
    )
    mode = node.attributes.get("mode")
    if mode is None or mode.as_string() == "nearest":
        scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        shrinks = scales is not None and bool(np.any(scales.numpy() < 1))
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "ceil" if shrinks else "floor")


def _restore_metadata(before: ir.Model, after: ir.Model) -> None:
    """Graphs keep their metadata, and nodes that of the node that wrote the same value."""
    after.graph.metadata_props.update(before.graph.metadata_props)
    known = {value.name: node.metadata_props for node in before.graph for value in node.outputs if value.name}
    for node in after.graph:
        for value in node.outputs:
            if value.name in known:
                node.metadata_props.update(known[value.name])


def _refuse_changed_values(before: onnx.ModelProto, after: onnx.ModelProto, path: object, opset: int) -> None:
    """Compare the outputs, and what each operator wrote that the converter rewrote or whose meaning has changed."""
    watched = list(_watched(before.graph, after.graph))
    outputs = {value.name for value in before.graph.output}
    feeds = _feeds(before)
    try:
        expected = _values(before, [name for name, _ in watched], feeds)
    except Exception:  # it needs other inputs; the parity gate compares with the original as well
        return
    try:
        got = _values(after, [name for name, _ in watched], feeds)
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise InputError(
            f"{path} has opset {opset}, and what onnx converts to {OPSET} does not run: {first_line(error)}; "
            f"export the model again with opset {OPSET} or later"
        ) from error
    for name, operator in [*watched, *((name, "an output of the model") for name in sorted(outputs))]:
        if not _same(got[name], expected[name]):
            raise InputError(
                f"{path} has opset {opset}, and converting it to {OPSET} changes {name!r} ({operator}); "
                f"export the model again with opset {OPSET} or later"
            )


def _watched(before: onnx.GraphProto, after: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """(value, operator) of the main graph's nodes that are written in another way or mean something else now."""
    now = {node.output[0]: node for node in after.node if node.output}
    for node in before.node:
        name = next(iter(node.output), "")
        other = now.get(name)
        if not name or other is None:
            continue
        same = (other.op_type, list(other.input)) == (node.op_type, list(node.input)) and {
            attribute.name: attribute.SerializeToString(deterministic=True) for attribute in other.attribute
        } == {attribute.name: attribute.SerializeToString(deterministic=True) for attribute in node.attribute}
        if not same or node.op_type in _SAME_FORM_OTHER_MEANING:
            yield name, node.op_type


def _feeds(model: onnx.ModelProto) -> dict[str, Array]:
    generator = np.random.default_rng(0)
    runtime = OnnxRuntime(model.SerializeToString(), optimized=False)
    examples = ExampleInputs.of(runtime.run, runtime.inputs)
    return examples.feeds(2 if examples.runs(runtime.run, 2) else 1, generator)


def _values(model: onnx.ModelProto, names: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
    """The outputs of a model and the values `names` within it, without ONNX Runtime's own rewriting."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return OnnxRuntime(copy.SerializeToString(), optimized=False).run(feeds)


def _same(got: Array, expected: Array) -> bool:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    if expected.dtype.kind != "f":
        return bool(np.array_equal(got, expected))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(got, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True))
