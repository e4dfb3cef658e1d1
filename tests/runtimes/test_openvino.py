"""OpenVINO as a runtime, against ONNX Runtime."""

import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dashdeploy.errors import InputError
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino

pytest.importorskip("openvino", reason="the openvino extra is not installed")


@pytest.fixture
def model():
    weight = np.random.default_rng(0).standard_normal((4, 3, 5)).astype("f4")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["signal", "w"], ["y"], pads=[2, 2]),
            helper.make_node("Relu", ["y"], ["out"]),
        ],
        "g",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["batch", 3, 20])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4, 20])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


def test_agrees_with_onnx_runtime_at_any_batch(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model)
    ours, reference = OpenVino(tmp_path / "model.onnx", threads=1), OnnxRuntime(model, threads=1)
    generator = np.random.default_rng(1)
    for batch in (1, 5):
        x = generator.standard_normal((batch, 3, 20)).astype("f4")
        np.testing.assert_allclose(
            ours.run({"signal": x})["out"], reference.run({"signal": x})["out"], rtol=0, atol=1e-5
        )
    (spec,) = ours.inputs
    assert (spec.name, spec.shape[1:], spec.dtype) == ("signal", (3, 20), "float32")
    assert isinstance(spec.shape[0], str)
    assert [output.name for output in ours.outputs] == ["out"]
    assert ours.describe().startswith("OpenVINO ")


def test_threads_do_not_share_tensors(model):
    runtime = OpenVino(model, threads=1)
    inputs = [np.full((1, 3, 20), value, "f4") for value in range(4)]
    expected = [runtime.run({"signal": x})["out"] for x in inputs]
    wrong = []

    def ask(x, y):
        for _ in range(50):
            if not np.array_equal(runtime.run({"signal": x})["out"], y):
                wrong.append(x[0, 0, 0])

    workers = [threading.Thread(target=ask, args=pair) for pair in zip(inputs, expected, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_broken_model_is_named(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"OpenVINO cannot load .*bad\.onnx") as error:
        OpenVino(tmp_path / "bad.onnx")
    assert "\n" not in str(error.value)
