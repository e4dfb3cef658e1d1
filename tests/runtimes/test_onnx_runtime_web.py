"""onnxruntime-web in Node as a runtime, against ONNX Runtime."""

import gc
import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes import onnx_runtime_web
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.onnx_runtime_web import OnnxRuntimeWeb
from dashdeploy.web import onnxruntime_web as package

MISSING = package.what_is_missing(to_run=True)
needs_node = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
KINDS = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


def serialized(nodes, inputs, outputs, initializers=()):
    values = [[helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)]
    graph = helper.make_graph(list(nodes), "graph", *values, initializer=list(initializers))
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.fixture
def convolution():
    weight = np.random.default_rng(0).standard_normal((4, 3, 5)).astype("f4")
    return serialized(
        [helper.make_node("Conv", ["signal", "w"], ["out"], pads=[2, 2])],
        [("signal", TensorProto.FLOAT, ["batch", 3, 20])],
        [("out", TensorProto.FLOAT, ["batch", 4, 20])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )


@needs_node
def test_agrees_with_onnx_runtime_at_any_batch_and_threads(convolution, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(convolution)
    reference = OnnxRuntime(convolution, threads=1)
    generator = np.random.default_rng(1)
    for threads in (1, 2):
        ours = OnnxRuntimeWeb(path, threads=threads)
        for batch in (1, 5):
            x = generator.standard_normal((batch, 3, 20)).astype("f4")
            got, expected = (engine.run({"signal": x})["out"] for engine in (ours, reference))
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
        assert ours.milliseconds > 0
        assert (ours.inputs, ours.outputs) == (reference.inputs, reference.outputs)
        assert ours.describe().startswith(f"onnxruntime-web {package.engine_version()}, Node v")
        assert ours.describe().endswith(f"{threads} thread(s)")
        ours.close()


@needs_node
def test_every_type_goes_there_and_comes_back():
    names = [*KINDS, "object"]
    kinds = [*KINDS.values(), TensorProto.STRING]
    model = serialized(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names],
        [(f"in_{name}", kind, ["n", 3]) for name, kind in zip(names, kinds, strict=True)],
        [(f"out_{name}", kind, ["n", 3]) for name, kind in zip(names, kinds, strict=True)],
    )
    runtime = OnnxRuntimeWeb(model)
    values = np.random.default_rng(0).integers(0, 100, (2, 3))
    feeds = {f"in_{name}": (values % 2 if name == "bool" else values).astype(name) for name in KINDS}
    feeds["in_object"] = np.array([["a", "", "ä"], ["b", "c d", "\n"]], object)
    feeds["in_int64"][0, 0] = 2**62 + 1  # no double holds it
    feeds["in_float32"] = np.asfortranarray(feeds["in_float32"])
    outputs = runtime.run(feeds)
    for name in names:
        assert outputs[f"out_{name}"].dtype == np.dtype(name)
        np.testing.assert_array_equal(outputs[f"out_{name}"], feeds[f"in_{name}"])
    assert [spec.dtype for spec in runtime.inputs] == names
    runtime.close()


@needs_node
def test_what_the_engine_refuses_is_said_and_it_goes_on(convolution):
    with pytest.raises(InputError, match=r"onnxruntime-web cannot load the model: .*protobuf"):
        OnnxRuntimeWeb(b"no model")
    runtime = OnnxRuntimeWeb(convolution)
    with pytest.raises(RuntimeError, match="invalid dimensions"):
        runtime.run({"signal": np.zeros((1, 2, 20), "f4")})
    assert runtime.run({"signal": np.zeros((1, 3, 20), "f4")})["out"].shape == (1, 4, 20)
    process = runtime._process
    process.kill()
    process.wait()
    with pytest.raises(RuntimeError, match="process of Node ended"):
        runtime.run({"signal": np.zeros((1, 3, 20), "f4")})


@needs_node
def test_no_process_stays_behind(convolution):
    runtime = OnnxRuntimeWeb(convolution)
    process = runtime._process
    del runtime
    gc.collect()
    assert process.poll() is not None


def test_what_the_engine_prints_is_no_answer():
    stream = io.BytesIO(b"a warning ORT\nORTORTW\x07\x00\x00\x00rest")
    assert onnx_runtime_web._after_magic(stream) == b"\x07\x00\x00\x00"
    assert stream.read() == b"rest"


def test_what_is_not_installed_is_named(convolution, tmp_path, monkeypatch):
    (tmp_path / "package-lock.json").write_bytes((package.web_folder() / "package-lock.json").read_bytes())
    monkeypatch.setattr(package, "web_folder", lambda: tmp_path)
    with pytest.raises(MissingCapabilityError, match=f"is not installed; .*npm ci .*--prefix {tmp_path}"):
        OnnxRuntimeWeb(convolution)
    folder = tmp_path / "node_modules" / "onnxruntime-web"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": "1.0.0"}))
    with pytest.raises(MissingCapabilityError, match=r"is there in version 1.0.0 instead of 1\.\d+\.\d+"):
        OnnxRuntimeWeb(convolution)


@needs_node
def test_a_machine_without_node_is_told(convolution, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingCapabilityError, match=r"Node\.js is not on the PATH"):
        OnnxRuntimeWeb(convolution)
