"""Relu as Max with zero: where it is written, where it stays, and that the numbers stay."""

import numpy as np
import onnx_ir as ir
import pytest

from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.passes.for_engines.relu_as_maximum import ReluAsMaximum
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

HEAD = "g (float[b,4,40] x) => (float[b,4,m] y) {"
GRAPHS = {
    "sum": ("s = Add(x, x)  y = Relu(s) }", ["Add", "Max"]),
    "convolution": ("c = Conv(x, w)  y = Relu(c) }", ["Conv", "Relu"]),
    "convolution that is read twice": (
        "c = Conv<pads = [1,1]>(x, w)  r = Relu(c)  y = Add(c, r) }",
        ["Conv", "Max", "Add"],
    ),
    "two": ("r = Relu(x)  s = Add(x, r)  y = Relu(s) }", ["Max", "Add", "Max"]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_equal_and_written_where_no_convolution_is_in_front(onnx_model, name):
    body, operators = GRAPHS[name]
    model = prepare(ir.from_proto(onnx_model(HEAD + body, opset=18, w=(4, 4, 3))))
    rewritten = lower(model, {}, relu_as_maximum=True)
    assert [node.op_type for node in rewritten.graph] == operators
    x = np.random.default_rng(0).standard_normal((3, 4, 40)).astype("f4")
    before, after = (
        OnnxRuntime(serialized(each), threads=1).run({"x": x})["y"] for each in (model, rewritten)
    )
    assert np.array_equal(before, after)
    assert [node.op_type for node in lower(model, {}).graph] == [
        "Relu" if operator == "Max" else operator for operator in operators
    ]


def test_says_what_stays(onnx_model):
    double = "g (double[b,4,40] x) => (double[b,4,40] y) { y = Relu(x) }"
    for text, reason in (
        (HEAD + GRAPHS["convolution"][0], "with the Conv in front of it"),
        (double, "the type of its numbers is DOUBLE"),
    ):
        known = ReluAsMaximum()
        known(prepare(ir.from_proto(onnx_model(text, opset=18, w=(4, 4, 3)))))
        (left,) = known.unmatched
        assert reason in left.reason
