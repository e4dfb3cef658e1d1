"""Models that every engine is asked about."""

import numpy as np
import onnx
import pytest
from onnx import parser


@pytest.fixture(scope="session")
def classifier() -> bytes:
    """Dilated convolutions, a residual sum, a mean and a matrix product, of any batch."""
    generator = np.random.default_rng(0)
    model = parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]>
        net (float[batch, 3, 40] signal) => (float[batch, 5] scores) {
            a = Conv<pads = [6, 6], dilations = [3]>(signal, w1, b1)
            b = Relu(a)
            c = Conv<pads = [3, 3]>(b, w2)
            d = Add(b, c)
            e = ReduceMean<keepdims = 0>(d, axes)
            scores = Gemm(e, w3)
        }"""
    )
    shapes = {"w1": (8, 3, 5), "b1": (8,), "w2": (8, 8, 7), "w3": (8, 5)}
    arrays = {name: generator.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    arrays["axes"] = np.array([2], np.int64)
    for name, array in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return bytes(model.SerializeToString())
