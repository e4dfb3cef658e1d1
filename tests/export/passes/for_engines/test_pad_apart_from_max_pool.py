"""A Pad of zeros before a MaxPool: ONNX Runtime gives what is specified, and only there is anything added."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

import dashdeploy
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.passes.for_engines.pad_apart_from_max_pool import PadApartFromMaxPool
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

HEAD = "g ({0}[b,2,n] x) => ({0}[b,2,m] y) "
POOL = "y = MaxPool<kernel_shape = [2]>(p) }"
PADS = "<int64[6] pads = {0, 0, 1, 0, 0, 1}>"


def operators(model):
    return [node.op_type for node in model.graph]


def wide_maxima(x, fill):
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1)], constant_values=fill)
    return np.maximum(padded[..., :-1], padded[..., 1:])


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(("type_", "dtype"), [("float", "f4"), ("float16", "f2"), ("double", "f8")])
def test_the_zeros_count_in_onnx_runtime(onnx_model, opset, type_, dtype):
    text = HEAD.format(type_) + PADS + " { p = Pad(x, pads) " + POOL
    model = ir.from_proto(onnx_model(text, opset=opset))
    x = -1 - np.random.default_rng(0).random((3, 2, 7)).astype(dtype)
    right = wide_maxima(x, 0)
    assert (right[..., [0, -1]] == 0).all()
    assert operators(prepare(model)) == ["Pad", "Max", "MaxPool"]
    (y,) = OnnxRuntime(serialized(prepare(model))).run({"x": x}).values()
    np.testing.assert_array_equal(y, right)
    assert operators(prepare(prepare(model))) == ["Pad", "Max", "MaxPool"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ p = Neg(x) ", "no Pad stands before it"),
        ("{ r = Relu(x) p = Pad(r, pads) ", "Relu gives nothing negative"),
        ('{ p = Pad<mode = "edge">(x, pads) ', "of the mode edge"),
        ("{ p = Pad(x, pads, least) ", "something else than zeros"),
    ],
)
def test_what_needs_nothing_stays(onnx_model, body, reason):
    values = "<int64[6] pads = {0, 0, 1, 0, 0, 1}, float least = {-10.0}>"
    model = ir.from_proto(onnx_model(HEAD.format("float") + values + body + POOL, opset=18))
    known = PadApartFromMaxPool()
    before = operators(model)
    assert operators(known(model).model) == before
    (left,) = known.unmatched
    assert reason in left.reason


def test_a_network_that_pads_before_it_pools_is_compiled(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv1d(3, 8, 9, padding=4), nn.Conv1d(8, 4, 5)

        def forward(self, x):
            below = -torch.relu(self.first(x)) - 0.1
            return self.last(nn.functional.max_pool1d(nn.functional.pad(below, (1, 1)), 3, 1))

    torch.manual_seed(0)
    network, x = Net().eval(), torch.randn(2, 3, 64)
    bundle = dashdeploy.compile(network, x[:1], out=tmp_path / "bundle", target="ort-cpu", lowering="direct")
    engine = dashdeploy.load_engine(bundle)
    (y,) = engine.run({engine.inputs[0].name: x.numpy()}).values()
    np.testing.assert_allclose(y, network(x).detach().numpy(), atol=1e-5)
    shipped = onnx.load(bundle.path / "model.onnx")
    assert "Max" in [node.op_type for node in shipped.graph.node]
