#!/usr/bin/env bash
# MNN computes a Conv with SAME_LOWER and an even kernel as if it were SAME_UPPER.
#
# SAME_LOWER puts the odd value of the padding at the start. MNN puts it at the end, so that the result is shifted by one.
# Odd kernels are not concerned. mnnconvert says nothing.
#
# Seen with mnn 3.6.1 and onnxruntime 1.31.1 on the CPU, input 1 2 3 4 (one row), kernel 1 10:
#   SAME_UPPER  ONNX Runtime 21 32 43 4   MNN 21 32 43 4
#   SAME_LOWER  ONNX Runtime 10 21 32 43  MNN 21 32 43 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'mnn==3.6.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import subprocess

import MNN.expr
import MNN.nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

X = np.float32([1, 2, 3, 4]).reshape(1, 1, 1, 4)
W = np.float32([1, 10]).reshape(1, 1, 1, 2)


def run(padding):
    """The answers of ONNX Runtime and MNN."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=padding)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(W, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "same.onnx")
    (here,) = onnxruntime.InferenceSession("same.onnx").run(None, {"x": X})
    options = ["-f", "ONNX", "--modelFile", "same.onnx", "--MNNModel", "same.mnn", "--bizCode", "same"]
    subprocess.run(["venv/bin/mnnconvert", *options], check=True, capture_output=True)
    network = MNN.nn.load_module_from_file("same.mnn", ["x"], ["y"])
    given = MNN.expr.placeholder(list(X.shape), MNN.expr.NCHW, MNN.expr.float)
    given.write(X)
    there = MNN.expr.convert(network.forward(given), MNN.expr.NCHW).read()
    print(padding, "ONNX Runtime", here.ravel(), "MNN", there.ravel())
    return here.ravel(), there.ravel()


UPPER, LOWER = np.float32([21, 32, 43, 4]), np.float32([10, 21, 32, 43])
here, there = run("SAME_UPPER")
assert np.allclose(here, UPPER) and np.allclose(there, UPPER)
here, there = run("SAME_LOWER")
assert np.allclose(here, LOWER) and np.allclose(there, UPPER)
PYTHON
