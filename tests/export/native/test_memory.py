"""What a loaded native model keeps in memory: packed weights, and not the model that they came from."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from dashdeploy.bench.common.peak_memory import peak_mib_of
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.passes.native_fusion import NativeChoice
from dashdeploy.export.passes.sequence import prepare, to_native
from dashdeploy.runtimes.native.model import NativeModel

CHAIN = """
g (float[N,256,64] x) => (float[N,256,64] y) {
  a = Conv<pads=[15,15]>(x, w1)
  b = Conv<pads=[15,15]>(a, w2)
  c = Conv<pads=[15,15]>(b, w3)
  y = Conv<pads=[15,15]>(c, w4)
}"""
WEIGHTS_MIB = 4 * 256 * 256 * 31 * 4 / 2**20


def run_once(path, model):
    """Load a native model and run it; without one, only what is imported for it."""
    if model:
        loaded = NativeModel(Path(path))
        loaded.run({"x": np.zeros((1, 256, 64), np.float32)})


def test_weights_are_in_memory_once_beside_the_packed_ones(onnx_model, tmp_path):
    model = onnx_model(CHAIN, opset=18, **dict.fromkeys(("w1", "w2", "w3", "w4"), (256, 256, 31)))
    direct = prepare(ir.from_proto(model))
    choices = {each.name: NativeChoice("direct") for each in find_convolutions(direct)}
    path = tmp_path / "model.native.onnx"
    path.write_bytes(serialized(to_native(direct, choices)))
    peaks = [
        peak_mib_of(run_once, {"path": str(path), "model": loaded}, title="a native model")
        for loaded in (False, True)
    ]
    if None in peaks:
        pytest.skip("the operating system does not tell the memory of a process")
    # The file's bytes and the parsed model come first, then the model and the packed weights; a copy more would be 3.
    assert peaks[1] - peaks[0] <= 2.4 * WEIGHTS_MIB + 12
