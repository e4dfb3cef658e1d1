"""Batch norms of concatenated convolutions become part of these, with the same numbers, or stay."""

import numpy as np
import onnx_ir as ir
import pytest

from dashdeploy.export.passes.sequence import prepare

TOLERANCE = 2e-6
"""Of the largest output: both orders of the same float32 operations, a few of which are rounded apart."""

NORM = {
    "s": np.linspace(-0.5, 1.5, 10).astype("f4"),
    "o": np.linspace(-1, 1, 10).astype("f4"),
    "m": np.linspace(-0.3, 0.4, 10).astype("f4"),
    "v": np.linspace(0.2, 2, 10).astype("f4"),
}
BRANCHES = """g (float[b,4,40] x) => (float[b,10,40] y) {
    p = Conv<pads = [4,4]>(x, w, c)  q = MaxPool<kernel_shape = [3], pads = [1,1]>(x)  r = Conv(q, u)
    h = Concat<axis = 1>(p, r)  n = BatchNormalization<epsilon = 0.01>(h, s, o, m, v)  y = Relu(n) }"""
WEIGHTS = {"w": (6, 4, 9), "c": (6,), "u": (4, 4, 1)}


def operators(model):
    return [node.op_type for node in model.graph]


def test_every_branch_takes_its_part(onnx_model, largest_error):
    model = onnx_model(BRANCHES, **WEIGHTS, **NORM)
    prepared = prepare(ir.from_proto(model))
    assert sorted(operators(prepared)) == ["Concat", "Conv", "Conv", "MaxPool", "Relu"]
    assert not set(NORM) & set(prepared.graph.initializers)
    assert {"w", "u"} <= set(prepared.graph.initializers)  # layers are called after their weights
    assert largest_error(model, prepared, batch=3) <= TOLERANCE


def test_two_blocks_and_the_graphs_output(onnx_model, largest_error):
    text = """g (float[b,4,40] x) => (float[b,10,40] y) {
        p = Conv<pads = [4,4]>(x, w, c)  r = Conv(x, u)  h = Concat<axis = 1>(p, r)
        n = BatchNormalization(h, s, o, m, v)  i = Conv(n, t)  j = Conv<pads = [1,1]>(n, z)
        k = Concat<axis = 1>(i, j)  y = BatchNormalization(k, s, o, m, v) }"""
    model = onnx_model(text, **WEIGHTS, t=(5, 10, 1), z=(5, 10, 3), **NORM)
    prepared = prepare(ir.from_proto(model))
    assert operators(prepared).count("BatchNormalization") == 0
    assert largest_error(model, prepared, batch=2) <= TOLERANCE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r = Conv(q, u)", "r = Tanh(q)"),  # no convolution
        ("Concat<axis = 1>(p, r)", "Concat<axis = 1>(p, r)  e = Exp(h)"),  # read by others
        ("Concat<axis = 1>(p, r)", "Concat<axis = 1>(p, r)  e = Exp(r)"),
        ("r = Conv(q, u)", "d = Abs(c)  f = Slice(d, zero, four)  r = Conv(q, u, f)"),  # a bias, folded first
    ],
)
def test_what_does_not_fold_keeps_its_norm(onnx_model, largest_error, old, new):
    model = onnx_model(BRANCHES.replace(old, new), zero=np.array([0]), four=np.array([4]), **WEIGHTS, **NORM)
    prepared = prepare(ir.from_proto(model))
    folded = operators(prepared).count("BatchNormalization") == 0
    assert folded == ("Slice" in new)
    assert largest_error(model, prepared, batch=2) <= TOLERANCE
