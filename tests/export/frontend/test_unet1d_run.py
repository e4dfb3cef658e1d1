"""A run of the U-Net becomes a bundle that says what PyTorch says, whatever the batch and where the length is odd."""

import numpy as np
import pytest
import torch
from torch import nn

from dashdeploy.backbones.unet1d import UNet1D
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.conftest import write_run

TOLERANCE = 1e-5
"""Of the largest output, in float32: the parity that export itself demands."""


def architecture(dense):
    arguments = {"in_channels": 2, "outputs": 3, "width": 4, "depth": 3, "dense": dense}
    convs = [n for n, m in UNet1D(**arguments).named_modules() if isinstance(m, nn.Conv1d) and n != "head"]
    layers = [
        {"name": name, "kernel_size": 11, "dilation": 5, "alpha": [[0, 0], [0, 1]]} for name in convs[::2]
    ]
    return {
        "backbone": "unet1d",
        "arguments": arguments,
        "kernel_sizes": [7, 11],
        "dilations": [1, 5],
        "layers": layers,
    }


@pytest.mark.parametrize(("dense", "length"), [(False, 61), (True, 61), (True, 64)])
def test_a_run_becomes_a_bundle(tmp_path, dense, length):
    searched, _ = write_run(tmp_path / "run", architecture(dense), length, dense=dense, kind="classification")
    bundle = export(tmp_path / "run", tmp_path / "out", ExportSettings(lowering="fft", tune="estimate"))
    assert isinstance(bundle.manifest.inputs[0].shape[0], str)
    outputs = bundle.manifest.outputs[0].shape
    assert outputs[1:] == ((3, length) if dense else (3,))
    chosen = {
        layer["name"]: layer["chosen"].partition("(")[0] for layer in bundle.read_json("plan.json")["layers"]
    }
    assert {chosen[name] for name in chosen if name.startswith(("encoder", "decoder"))} == {"fft"}
    for batch in (1, 5):
        x = np.random.default_rng(batch).standard_normal((batch, 2, length)).astype("f4")
        expected = searched(torch.from_numpy(x)).detach().numpy()
        for name in ("model.onnx", "baseline/direct.onnx"):
            (got,) = OnnxRuntime(bundle.path / name, threads=1).run({"input": x}).values()
            assert got.shape == expected.shape
            assert np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max()
