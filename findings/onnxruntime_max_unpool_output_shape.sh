#!/usr/bin/env bash
# ONNX Runtime's MaxUnpool with output_shape counts the indices in the larger output, so the values land elsewhere.
#
# MaxPool counts its indices in the tensor that it read. Kernel and stride give that tensor's size; output_shape pads it. ONNX's
# stored test test_maxunpool_export_with_output_shape and the reference evaluator place the values first and pad then.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, values 5 6 7 8 at 5 7 13 15 of a 4 x 4 plane, output_shape 5 x 5:
#   ONNX          rows 1 1 3 3, columns 1 3 1 3
#   ONNX Runtime  rows 1 1 2 3, columns 0 2 3 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

VALUES = np.float32([5, 6, 7, 8]).reshape(1, 1, 2, 2)
INDICES = np.int64([5, 7, 13, 15]).reshape(1, 1, 2, 2)


def run(size):
    """The planes of the reference evaluator and of ONNX Runtime with an output_shape of size x size."""
    node = helper.make_node("MaxUnpool", ["x", "i", "shape"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, VALUES.shape)
    i = helper.make_tensor_value_info("i", TensorProto.INT64, INDICES.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, size, size))
    shape = numpy_helper.from_array(np.int64([1, 1, size, size]), "shape")
    graph = helper.make_graph([node], "g", [x, i], [y], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    feed = {"x": VALUES, "i": INDICES}
    (reference,) = ReferenceEvaluator(model).run(None, feed)
    (runtime,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    print("size", size, "reference", reference[0, 0].tolist(), "ONNX Runtime", runtime[0, 0].tolist())
    return reference[0, 0], runtime[0, 0]


plane = np.zeros(16, np.float32)
plane[INDICES.ravel()] = VALUES.ravel()
plane = plane.reshape(4, 4)
reference, runtime = run(4)
assert np.array_equal(reference, plane) and np.array_equal(runtime, plane)

reference, runtime = run(5)
larger = np.zeros(25, np.float32)
larger[INDICES.ravel()] = VALUES.ravel()
assert np.array_equal(reference, np.pad(plane, ((0, 1), (0, 1))))
assert np.array_equal(runtime, larger.reshape(5, 5))
PYTHON
