"""Padding operators before convolutions: folded where they add zeros, left where they do anything else."""

import onnx_ir as ir
import pytest

from dashdeploy.export.passes.sequence import prepare

HEAD = "g (float[b,4,40] x) => (float[b,6,m] y) {"
FOLDED = {
    "causal": "p = Constant<value = int64[6] {0,0,16,0,0,0}>()  z = Pad(x, p)  y = Conv<dilations = [2]>(z, w) }",
    "beside own padding": """p = Constant<value = int64[6] {0,0,3,0,0,1}>()  c = Constant<value = float {0.0}>()
        z = Pad(x, p, c)  y = Conv<pads = [2,5], strides = [2]>(z, w) }""",
    "two convolutions": """p = Constant<value = int64[6] {0,0,8,0,0,0}>()  z = Pad(x, p)  v = Conv(z, w)
        r = Conv<pads = [8,0], dilations = [2]>(z, w)  y = Add(v, r) }""",
    "computed amounts": """n = Constant<value = int64[1] {4}>()  o = ConstantOfShape<value = int64[1] {0}>(n)
        f = Constant<value = int64[2] {8,0}>()  r = Concat<axis = 0>(o, f)  h = Constant<value = int64[2] {-1,2}>()
        m = Reshape(r, h)  t = Transpose<perm = [1,0]>(m)  v = Constant<value = int64[1] {-1}>()
        i = Reshape(t, v)  p = Cast<to = 7>(i)  z = Pad(x, p)  y = Conv<strides = [2]>(z, w) }""",
    "named axes": """p = Constant<value = int64[2] {8,1}>()  a = Constant<value = int64[1] {-1}>()
        z = Pad(x, p, , a)  y = Conv<auto_pad = "VALID">(z, w) }""",
}
LEFT = {
    "reflection": 'p = Constant<value = int64[6] {0,0,8,0,0,0}>()  z = Pad<mode = "reflect">(x, p)  y = Conv(z, w) }',
    "ones": """p = Constant<value = int64[6] {0,0,8,0,0,0}>()  c = Constant<value = float {1.0}>()
        z = Pad(x, p, c)  y = Conv(z, w) }""",
    "cropping": "p = Constant<value = int64[6] {0,0,-2,0,0,0}>()  z = Pad(x, p)  y = Conv(z, w) }",
    "read twice": """p = Constant<value = int64[6] {0,0,8,0,0,0}>()  z = Pad(x, p)  v = Conv(z, w)
        r = ReduceMean(z)  y = Add(v, r) }""",
    "same": """p = Constant<value = int64[6] {0,0,8,0,0,0}>()  z = Pad(x, p)
        y = Conv<auto_pad = "SAME_UPPER">(z, w) }""",
}


@pytest.mark.parametrize("name", [*FOLDED, *LEFT])
def test_equal_and_folded_where_it_can_be(onnx_model, largest_error, name):
    model = onnx_model(HEAD + {**FOLDED, **LEFT}[name], opset=18, w=(6, 4, 9))
    prepared = prepare(ir.from_proto(model))
    operators = [node.op_type for node in prepared.graph]
    assert ("Pad" not in operators) is (name in FOLDED)
    for batch in (1, 3):
        assert largest_error(model, prepared, batch) <= 1e-6
