"""Which engine runs a bundle."""

import json

import numpy as np
import pytest

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.engines import ENGINES, engine_of, load_engine
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.names import EngineName


def with_target(folder, target):
    manifest = json.loads((folder / "bundle.json").read_text()) | {"target": target}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


def test_the_command_line_knows_every_engine():
    assert tuple(EngineName) == tuple(ENGINES)


@pytest.mark.parametrize("target, engine", [("ort-cpu", "ort-cpu"), ("openvino", "openvino"), ("x", "ort-cpu"),
                                            ("tensorrt", "ort-cpu"), ("ort-cuda", "ort-cuda")])  # fmt: skip
def test_a_bundle_runs_on_what_it_was_made_for_as_far_as_it_has_the_file(written_bundle, target, engine):
    assert engine_of(with_target(written_bundle, target)).name == engine


@pytest.mark.parametrize("engine", ["ort-cpu", "openvino"])
def test_engines_of_onnx_agree(written_bundle, engine):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the openvino extra is not installed")
    x = np.array([[-1, 2, -3, 4]], np.float32)
    runtime = load_engine(Bundle.load(written_bundle), engine, threads=1)
    np.testing.assert_array_equal(runtime.run({"x": x})["y"], [[0, 2, 0, 4]])


@pytest.mark.parametrize(
    "engine, parameter",
    [("torchscript", "torchscript"), ("tensorrt", "trt"), ("tensorrt-rtx", "trt_rtx")],
)
def test_a_missing_file_is_named_with_the_parameter_that_writes_it(written_bundle, engine, parameter):
    with pytest.raises(InputError, match=rf"has no model.* `export\('RUN', {parameter}=True\)`$"):
        load_engine(Bundle.load(written_bundle), engine)


def test_an_unknown_engine_is_refused(written_bundle):
    with pytest.raises(InputError, match="no such engine; choose from ort-cpu, ort-cuda"):
        load_engine(Bundle.load(written_bundle), "caffe")


def test_a_bundle_for_a_gpu_says_how_to_run_it_without_one(written_bundle):
    if find_gpus()[0]:
        pytest.skip("there is a GPU")
    bundle = with_target(written_bundle, "ort-cuda")
    with pytest.raises(MissingCapabilityError, match=r"NVIDIA GPU with its driver.*`engine=ort-cpu`$"):
        load_engine(bundle)
    with pytest.raises(MissingCapabilityError) as error:
        load_engine(bundle, "ort-cuda")
    assert "`engine=ort-cpu`" not in str(error.value)


@pytest.mark.gpu
def test_onnx_runtime_on_a_gpu(written_bundle):
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    try:
        runtime = load_engine(Bundle.load(written_bundle), "ort-cuda")
    except MissingCapabilityError as error:  # a GPU without onnxruntime-gpu is no fault
        pytest.skip(str(error))
    assert ", CUDA," in runtime.describe()
    x = np.array([[-1, 2, -3, 4]], np.float32)
    np.testing.assert_array_equal(runtime.run({"x": x})["y"], [[0, 2, 0, 4]])
