"""The ONNX Runtime engine: numbers, threads, and models that it refuses."""

import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime, renew_shared_arena


def serialized(nodes, inputs, outputs):
    values = [[helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "graph", *values)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.fixture
def sum_and_difference():
    return serialized(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [("a", TensorProto.FLOAT, ["batch", 3]), ("b", TensorProto.FLOAT, [None, 3])],
        [("sum", TensorProto.FLOAT, ["batch", 3]), ("difference", TensorProto.FLOAT, ["batch", 3])],
    )


def test_inputs_and_outputs_in_order_with_named_dynamic_axes(sum_and_difference):
    runtime = OnnxRuntime(sum_and_difference, threads=1)
    assert runtime.inputs == (
        TensorSpec(name="a", shape=("batch", 3), dtype="float32"),
        TensorSpec(name="b", shape=("b_axis_0", 3), dtype="float32"),
    )
    assert [spec.name for spec in runtime.outputs] == ["sum", "difference"]
    assert "ONNX Runtime" in runtime.describe()
    assert "1 thread" in runtime.describe()
    assert "default threads" in OnnxRuntime(sum_and_difference).describe()


def test_runs_from_bytes_and_from_a_file(sum_and_difference, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(sum_and_difference)
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    for model in (sum_and_difference, path):
        results = OnnxRuntime(model, threads=1).run({"b": b, "a": a})
        np.testing.assert_array_equal(results["sum"], a + b)
        np.testing.assert_array_equal(results["difference"], a - b)


def test_external_weights_beside_the_model_are_found(tmp_path):
    weights = np.arange(3000, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3000])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin")
    assert (tmp_path / "weights.bin").exists()
    results = OnnxRuntime(tmp_path / "model.onnx", threads=1).run({"x": np.full(3000, 2, np.float32)})
    np.testing.assert_array_equal(results["y"], 2 * weights)


def test_many_threads_may_run_one_model(sum_and_difference):
    runtime = OnnxRuntime(sum_and_difference, threads=1)
    wrong = []

    def work(value):
        a, b = np.full((4, 3), value, np.float32), np.ones((4, 3), np.float32)
        for _ in range(200):
            if not (runtime.run({"a": a, "b": b})["sum"] == value + 1).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_model_is_one_clear_line(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ONNX Runtime cannot load .*model\.onnx: ") as error:
        OnnxRuntime(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_an_unknown_operator_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot load"):
        OnnxRuntime(tmp_path / "missing.onnx")
    unknown = serialized(
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [1])],
    )
    with pytest.raises(InputError, match=r"the model: .*NoSuchOperator"):
        OnnxRuntime(unknown)


def test_every_element_type_has_numpys_name():
    kinds = {
        "float32": TensorProto.FLOAT,
        "float16": TensorProto.FLOAT16,
        "float64": TensorProto.DOUBLE,
        "int64": TensorProto.INT64,
        "int32": TensorProto.INT32,
        "int16": TensorProto.INT16,
        "int8": TensorProto.INT8,
        "uint64": TensorProto.UINT64,
        "uint32": TensorProto.UINT32,
        "uint16": TensorProto.UINT16,
        "uint8": TensorProto.UINT8,
        "bool": TensorProto.BOOL,
    }
    model = serialized(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        [(name, kind, [2]) for name, kind in kinds.items()],
        [(f"{name}_out", kind, [2]) for name, kind in kinds.items()],
    )
    runtime = OnnxRuntime(model, threads=1)
    assert [spec.dtype for spec in runtime.inputs] == list(kinds)
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(1, generator) for spec in runtime.inputs}
    for name, result in runtime.run(feeds).items():
        np.testing.assert_array_equal(result, feeds[name.removesuffix("_out")])
        assert result.dtype == feeds[name.removesuffix("_out")].dtype


@pytest.mark.parametrize("provider", ["XnnpackExecutionProvider", "PlantedExecutionProvider"])
def test_a_silent_fall_back_to_the_cpu_is_caught_and_named(provider, classifier):
    """ONNX Runtime runs the model on the CPU where a provider is not there, and says nothing."""
    import onnxruntime

    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this build has {provider}")
    with pytest.raises(
        MissingCapabilityError, match=f"asked for {provider} and fell back to CPUExecutionProvider"
    ):
        OnnxRuntime(classifier, provider=provider)


def test_a_provider_that_does_not_start_is_named(classifier, monkeypatch):
    """As where a library of CUDA does not load: the provider is in the build, and the session lacks it."""
    import onnxruntime

    real = onnxruntime.InferenceSession

    def without_the_first(source, options, providers):
        return real(source, options, providers=providers[1:])

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_the_first)
    monkeypatch.setattr(
        "dashdeploy.runtimes.onnx_runtime._cuda_providers",
        lambda _module: [("CUDAExecutionProvider", {}), "CPUExecutionProvider"],
    )
    with pytest.raises(
        MissingCapabilityError, match=r"cannot start CUDA \(CUDAExecutionProvider\).*CPUExecutionProvider"
    ):
        OnnxRuntime(classifier, device="cuda")


def test_a_shared_arena_has_a_limit(sum_and_difference):
    feeds = {name: np.ones((2**18, 3), "f4") for name in "ab"}  # 3 MiB each
    try:
        renew_shared_arena(2**20)
        small = OnnxRuntime(sum_and_difference, arena="shared")
        with pytest.raises(MemoryError, match="smaller than requested"):
            small.run(feeds)
        renew_shared_arena(2**24)
        assert OnnxRuntime(sum_and_difference, arena="shared").run(feeds)["sum"].sum() == 2**19 * 3
        assert small.run({name: array[:9] for name, array in feeds.items()})["sum"].shape == (9, 3)
    finally:
        renew_shared_arena()
    assert OnnxRuntime(sum_and_difference, arena="none").run(feeds)["difference"].max() == 0


def test_values_stay_on_a_device_that_they_are_bound_to(classifier):
    """As on a GPU: the CPU's own memory stands for that of the other device."""
    runtime = OnnxRuntime(classifier, threads=1)
    feeds = ExampleInputs.of(runtime.run, runtime.inputs).feeds(3, np.random.default_rng(0))
    expected = runtime.run(feeds)
    assert not hasattr(runtime, "inside_nanoseconds")
    runtime._bound_to = "cpu"
    found = runtime.run(feeds)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert 0 < runtime.inside_nanoseconds < 60e9
