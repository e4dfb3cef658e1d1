"""The native model as an operator of torch: eager, and through torch.export."""

import numpy as np
import onnx_ir as ir
import pytest
import torch

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.native.candidates import plain
from dashdeploy.export.passes.sequence import prepare, to_native
from dashdeploy.runtimes.native.torch_module import NativeModule, native_model
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

GRAPH = """
g (float[N,16,40] x) => (float[N,12,40] y, float[N,12] m) {
  a = Conv<pads=[2,2]>(x, w)
  y = Relu(a)
  m = ReduceMean<keepdims=0>(y, axes)
}"""


@pytest.fixture
def model(onnx_model, tmp_path):
    document = onnx_model(GRAPH, opset=18, w=(12, 16, 5), axes=np.array([2], np.int64))
    direct = prepare(ir.from_proto(document))
    native = to_native(direct, {each.name: plain(each.spec) for each in find_convolutions(direct)})
    (tmp_path / "model.native.onnx").write_bytes(serialized(native))
    return tmp_path / "model.native.onnx", OnnxRuntime(document.SerializeToString())


def agrees(got, runtime, x):
    expected = list(runtime.run({"x": x.numpy()}).values())
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-6 * np.abs(other).max())


def test_eager_and_exported_give_what_onnx_runtime_gives(model):
    file, runtime = model
    module = NativeModule(file, threads=2)
    x = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(0))
    agrees(module(x), runtime, x)
    program = torch.export.export(
        module, (x,), dynamic_shapes=(({0: torch.export.Dim("batch")},),), strict=False
    )
    assert any("dashdeploy.native_model" in str(node.target) for node in program.graph.nodes)
    for batch in (1, 5):
        again = torch.randn(batch, 16, 40, generator=torch.Generator().manual_seed(batch))
        agrees(program.module()(again), runtime, again)


def test_the_operator_keeps_torchs_rules(model):
    file, _ = model
    x = torch.randn(2, 16, 40)
    torch.library.opcheck(native_model, ([x], str(file), 1), test_utils=("test_schema", "test_faketensor"))


def test_a_file_that_changes_is_loaded_again_and_one_that_is_gone_is_named(model):
    file, _ = model
    module = NativeModule(file)
    file.write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="damaged"):
        module(torch.zeros(1, 16, 40))
    file.unlink()
    with pytest.raises(InputError, match="No such file"):
        module(torch.zeros(1, 16, 40))
    with pytest.raises(InputError, match="No such file"):
        NativeModule(file)
