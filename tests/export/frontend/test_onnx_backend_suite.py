"""Every Conv case of the ONNX backend test suite that the onnx package ships, forced to the FFT where it can be."""

from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnx.backend.test.case.node import collect_testcases

TOLERANCE = 5e-6
"""Of the largest output, in float32."""

DATA = Path(onnx.backend.test.__file__).parent / "data"
CONVERTED = sorted(
    path.parent for kind in ("operator", "converted") for path in DATA.glob(f"pytorch-{kind}/*/model.onnx")
)


def node_cases():
    """(name, model, inputs, outputs) of the cases that are made of one Conv node."""
    for case in collect_testcases("Conv"):
        if case.model is not None and any(node.op_type == "Conv" for node in case.model.graph.node):
            yield case.name, case.model, *case.data_sets[0]


def stored_cases():
    """The same of the models that PyTorch wrote, brought to opset 13."""
    for folder in CONVERTED:
        model = onnx.load(folder / "model.onnx")
        if any(node.op_type == "Conv" for node in model.graph.node):
            data = folder / "test_data_set_0"
            model = version_converter.convert_version(model, 13)
            yield folder.name, model, read(data, "input"), read(data, "output")


def read(folder, kind):
    return [
        numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
        for path in sorted(folder.glob(f"{kind}_*.pb"))
    ]


def with_constant_weights(model, inputs):
    """All inputs but the first become initializers; initializers lose the right to be replaced."""
    for value, array in zip(list(model.graph.input)[1:], inputs[1:], strict=False):
        if all(known.name != value.name for known in model.graph.initializer):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
    first = model.graph.input[0]
    del model.graph.input[:]
    model.graph.input.append(first)
    model.ir_version = max(model.ir_version, 7)
    return model


CASES = {name: case for name, *case in (*node_cases(), *stored_cases())}


def test_the_suite_is_there():
    assert len(CASES) >= 30


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_suites_outputs(name, fft, run_model):
    model, inputs, outputs = CASES[name]
    model = with_constant_weights(onnx.ModelProto.FromString(model.SerializeToString()), inputs)
    three_axes = len(model.graph.input[0].type.tensor_type.shape.dim) == 5
    compiled = fft(model, expected=0 if three_axes else 1)
    (y,) = run_model(compiled, {model.graph.input[0].name: inputs[0]})
    expected = np.asarray(outputs[0])
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(mode, fft, run_model):
    generator = np.random.default_rng(0)
    # ONNX Runtime, the reference, has no dilation together with SAME.
    for extents, kernel, strides, dilations in (
        ((17, 20), (3, 4), (1, 1), (1, 1) if mode != "VALID" else (2, 3)),
        ((16, 9), (5, 2), (2, 1), (1, 1)),
        ((30, 31), (7, 3), (3, 2), (1, 1)),
    ):
        x = generator.standard_normal((2, 4, *extents)).astype(np.float32)
        weight = generator.standard_normal((6, 2, *kernel)).astype(np.float32)
        node = helper.make_node(
            "Conv", ["x", "w"], ["y"], auto_pad=mode, group=2, strides=strides, dilations=dilations
        )
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4, *extents])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 6, None, None])],
            [numpy_helper.from_array(weight, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (expected,) = run_model(model, {"x": x})
        (y,) = run_model(fft(model, expected=1), {"x": x})
        assert y.shape == expected.shape
        assert np.abs(y - expected).max() <= TOLERANCE * np.abs(expected).max()
