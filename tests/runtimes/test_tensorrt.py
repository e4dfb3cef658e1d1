"""Engines on a GPU; without one there is nothing to run them on, and only the refusal is tested."""

import numpy as np
import pytest

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.tensorrt import TensorRT, is_harmless
from dashdeploy.runtimes.tensorrt_flavors import FLAVORS, RTX, TENSORRT


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
@pytest.mark.parametrize("flavor", FLAVORS)
def test_without_a_gpu_the_refusal_names_what_is_missing(tmp_path, flavor):
    with pytest.raises(MissingCapabilityError, match=r"needs .*an NVIDIA GPU with its driver"):
        TensorRT(tmp_path / flavor.file_name, flavor)


@pytest.mark.gpu
@pytest.mark.parametrize("flavor", [RTX, TENSORRT], ids=["rtx", "tensorrt"])
def test_an_engine_says_what_onnx_runtime_says(tmp_path, flavor):
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    pytest.importorskip(flavor.module)
    from onnx import parser, save

    from dashdeploy.export.engines.builder import build_engine
    from dashdeploy.export.engines.settings import EngineSettings

    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[b,4] x) => (float[b,4] y) { y = Sin(x) }'
    save(parser.parse_model(text), tmp_path / "m.onnx")
    capabilities = (find_gpus()[0][0].compute_capability,)
    settings = EngineSettings(compute_capabilities=capabilities)
    (tmp_path / "engine").write_bytes(build_engine(tmp_path / "m.onnx", flavor, settings).content)
    runtime = TensorRT(tmp_path / "engine", flavor)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("f4")
    np.testing.assert_allclose(runtime.run({"x": x})["y"], np.sin(x), atol=1e-6)
    assert runtime.layers()["Layers"]
    assert all(time > 0 for time in runtime.profile({"x": x}, runs=3).values())
    np.testing.assert_allclose(runtime.run({"x": x})["y"], np.sin(x), atol=1e-6)


@pytest.mark.parametrize(
    ("line", "harmless"),
    [
        ("[E] catchCudaError: CUDA failure 35: driver version is insufficient", True),
        ("IBuilder::buildSerializedNetwork: Error Code 10: no implementation", False),
    ],
)
def test_the_line_about_the_absent_driver_is_harmless(line, harmless):
    assert is_harmless(line) is harmless
