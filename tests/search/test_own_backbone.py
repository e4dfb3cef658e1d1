"""A user's own network, a U-Net in a file outside the project: searched, exported, the same answers."""

import json
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.cli import app
from dashdeploy.run_directory import Run
from dashdeploy.runtimes import OnnxRuntime

UNET = """
import torch
from torch import nn


def double(inputs, outputs):
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.ReLU(),
        nn.Conv1d(outputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.down1, self.down2 = double(channels, 4), double(4, 8)
        self.halve = nn.Conv1d(8, 8, 3, stride=2, padding=1)
        self.bottom = double(8, 8)
        self.up = nn.ConvTranspose1d(8, 8, 2, stride=2)
        self.merge = double(16, 8)
        self.head = nn.Conv1d(8, classes, 1)

    def forward(self, x):
        x = self.down2(self.down1(x))
        y = self.up(self.bottom(self.halve(x)))
        return self.head(self.merge(torch.cat([x, y], 1))).mean(-1)


def unet(in_channels, outputs):
    return UNet(in_channels, outputs)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "my_unet.py").write_text(UNET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_unet", None)


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result


def test_searched_exported_and_the_same(here, npz):
    words = "--backbone my_unet:unet --kernel-sizes 3,8 --dilations 1,5 --search-epochs 2 --retrain-epochs 2"
    shown = run("search", "--data", npz, *words.split(), "--exclude", "bottom.3", "--out", "run")
    assert "searching 8 convolutions" in shown.stderr
    assert "kept as it is: up: it is a ConvTranspose1d; only Conv1d and Conv2d are searched" in shown.stderr
    assert "kept as it is: bottom.3: it is excluded by 'bottom.3'" in shown.stderr
    architecture = json.loads((here / "run" / "architecture.json").read_text())
    assert architecture["backbone"] == "my_unet:unet"
    assert set(architecture["kept"]) == {"up", "bottom.3", "head"}
    assert "bottom.3" in run("inspect", "run").stdout

    run("export", "run", "--out", "bundle", "--lowering", "fft", "--tune", "estimate")
    parity = json.loads((here / "bundle" / "parity.json").read_text())
    assert all(each["max_relative_error"] <= 1e-5 for each in parity["outputs"])
    x = np.random.default_rng(0).standard_normal((4, 1, 32)).astype("f4")
    with torch.inference_mode():
        expected = Run.load(here / "run").searched_model()(torch.from_numpy(x)).numpy()
    (given,) = OnnxRuntime(here / "bundle" / "model.onnx").run({"input": x}).values()
    assert np.abs(given - expected).max() <= 1e-5 * np.abs(expected).max()
