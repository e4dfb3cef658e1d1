"""Every engine that runs here, served: the same answers, and Triton's name of the engine."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.http as triton

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.runtimes.gpus import find_gpus

COMMAND = Path(sys.executable).with_name("dashdeploy")
PLATFORMS = {"ort-cpu": "onnxruntime_onnx", "openvino": "openvino", "torchscript": "pytorch_libtorch"}


class Double(torch.nn.Module):
    def forward(self, x):
        return x + x


@pytest.fixture
def bundle(tmp_path, write):
    folder = write.double(tmp_path / "double")
    manifest = Bundle.load(folder).manifest
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Double(), torch.zeros(2, 4)), folder / "model.ts")
    write_manifest(folder, manifest)
    return folder


@pytest.mark.parametrize("engine", PLATFORMS)
def test_an_engine_serves_in_batches(bundle, start_server, engine):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the openvino extra is not installed")
    with (
        start_server([bundle], engine=engine) as running,
        triton.InferenceServerClient(running.http) as client,
    ):
        assert client.get_model_metadata("double")["platform"] == PLATFORMS[engine]
        config = client.get_model_config("double")
        assert config["max_batch_size"] == 32
        assert config["default_model_filename"] == ("model.ts" if engine == "torchscript" else "model.onnx")
        for rows in (1, 3, 1):
            x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
            for binary in (True, False):
                tensor = triton.InferInput("x", x.shape, "FP32").set_data_from_numpy(x, binary_data=binary)
                np.testing.assert_array_equal(client.infer("double", [tensor]).as_numpy("y"), 2 * x)
        assert running.process.poll() is None
        running.process.terminate()
        assert running.process.wait(timeout=30) == 0
        assert running.process.stderr.read() == ""


def test_a_bundle_for_an_engine_that_is_not_here_is_refused_in_one_line(bundle):
    if find_gpus()[0]:
        pytest.skip("there is a GPU")
    manifest = json.loads((bundle / "bundle.json").read_text()) | {"target": "ort-cuda"}
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    command = [COMMAND, "serve", bundle, "--http-port", "0", "--grpc-port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, ""), line
    assert "was made for ort-cuda" in line and line.endswith("--engine ort-cpu")
