"""Models of opsets 7 to 12 compute after the conversion what they computed before it, or are refused by name."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.opset_conversion import with_current_opset
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FORCED = ExportSettings(lowering="fft", tune="estimate")


def model_of(opset, nodes, shapes, ir_version=7, **initializers):
    """A graph from x to y."""
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("xy", shapes, strict=True)
    )
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in initializers.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def one_node(operator, opset, shapes, initializers=None, **attributes):
    initializers = initializers or {}
    node = helper.make_node(operator, ["x", *initializers], ["y"], name="the_node", **attributes)
    return model_of(opset, [node], shapes, **initializers)


def outputs(model, x):
    return OnnxRuntime(model.SerializeToString(), threads=1).run({"x": x})["y"]


@pytest.mark.parametrize("opset", range(7, 13))
def test_a_convolution_of_every_old_opset_is_compiled(tmp_path, opset):
    weight = np.random.default_rng(0).standard_normal((8, 8, 9)).astype("f4")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[8, 8], dilations=[2])
    onnx.save(model_of(opset, [node], (["b", 8, 80], ["b", 8, 80]), w=weight), tmp_path / "m.onnx")
    said = []
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED, progress=said.append)
    assert f"m.onnx has opset {opset}: converted to 13, with the same outputs" in said
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")
    assert (bundle.path / "baseline/direct.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()
    assert onnx.load(bundle.path / "model.onnx").opset_import[0].version == 13


@pytest.mark.parametrize("operator", ["Resize", "Upsample"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [2.0, 1.5, 3.3, 0.5, 0.6])
def test_resizing_samples_where_it_did(operator, mode, scale):
    if operator == "Upsample" and scale < 1:
        pytest.skip("Upsample does not shrink")
    scales = np.float32([1, 1, 1, scale])
    opset = 10 if operator == "Resize" else 9
    model = one_node(
        operator, opset, ([1, 2, 3, 20], [1, 2, 3, int(20 * scale)]), {"scales": scales}, mode=mode
    )
    converted = ir.to_proto(with_current_opset(ir.from_proto(model), "m.onnx"))
    assert converted.opset_import[0].version == 13
    x = np.random.default_rng(1).standard_normal((1, 2, 3, 20)).astype("f4")
    np.testing.assert_allclose(outputs(converted, x), outputs(model, x), rtol=0, atol=1e-6)


def test_softmax_keeps_its_values_and_hardmax_is_refused_by_name():
    shapes = ([2, 3, 4], [2, 3, 4])
    model = one_node("Softmax", 11, shapes)
    converted = ir.to_proto(with_current_opset(ir.from_proto(model), "m.onnx"))
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("f4")
    assert outputs(converted, x).sum() == pytest.approx(2)  # all axes but the batch together
    np.testing.assert_allclose(outputs(converted, x), outputs(model, x), rtol=0, atol=1e-7)
    with pytest.raises(
        InputError, match=r"m\.onnx has opset 11.*changes 'y' \(Hardmax\); export the model again"
    ):
        with_current_opset(ir.from_proto(one_node("Hardmax", 11, shapes)), "m.onnx")
    last = ir.from_proto(one_node("Hardmax", 11, shapes, axis=2))
    assert with_current_opset(last, "m.onnx").opset_imports[""] == 13  # the same in both


def test_a_change_within_is_found_where_the_output_does_not_show_it():
    nodes = [helper.make_node("Hardmax", ["x"], ["h"]), helper.make_node("Mul", ["h", "zero"], ["y"])]
    model = model_of(11, nodes, ([2, 3, 4], [2, 3, 4]), zero=np.float32(0))
    with pytest.raises(InputError, match=r"changes 'h' \(Hardmax\)"):
        with_current_opset(ir.from_proto(model), "m.onnx")


def test_metadata_and_names_are_kept():
    model = one_node("Relu", 9, (["b", 3], ["b", 3]))
    model.metadata_props.add(key="author", value="a")
    model.graph.metadata_props.add(key="stage", value="b")
    model.graph.node[0].metadata_props.add(key="layer", value="c")
    converted = with_current_opset(ir.from_proto(model), "m.onnx")
    (node,) = converted.graph
    assert (node.name, dict(node.metadata_props)) == ("the_node", {"layer": "c"})
    assert dict(converted.graph.metadata_props) == {"stage": "b"}
    assert dict(converted.metadata_props) == {"author": "a"}


def test_what_cannot_be_converted_is_refused_in_a_line():
    unknown = ir.from_proto(one_node("Upsample", 7, ([1, 2, 8], [1, 2, 16]), mode="nearest"))
    with pytest.raises(
        InputError, match=r"has opset 7, and onnx cannot convert it to 13: .*; export"
    ) as error:
        with_current_opset(unknown, "m.onnx")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="has opset 6; dashdeploy needs 7 or later"):
        with_current_opset(ir.from_proto(one_node("Relu", 6, ([1], [1]))), "m.onnx")


def test_a_new_model_is_left_alone():
    model = ir.from_proto(one_node("Relu", 13, ([1], [1])))
    assert with_current_opset(model, "m.onnx") is model


@pytest.mark.parametrize("branch", ["then_branch", "else_branch"])
def test_hardmax_is_refused_in_a_branch_that_no_comparison_enters(branch):
    bodies = {
        name: helper.make_graph(
            [helper.make_node("Hardmax" if name == branch else "Relu", ["x"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **bodies),
    ]
    model = model_of(11, nodes, ([2, 3, 4], [2, 3, 4]), zero=np.float32(0))
    with pytest.raises(InputError, match=f"may change '{branch}' \\(Hardmax in a body of control flow\\)"):
        with_current_opset(ir.from_proto(model), "m.onnx")
