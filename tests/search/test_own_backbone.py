"""A user's own network and data, a U-Net in a file outside the project: searched, exported, the same answers."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.backbones.run import Run
from dashdeploy.cli.app import app
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_network" / "spikes.py"


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("spikes", None)


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result


def test_searched_exported_and_the_same(here):
    words = "--task spikes:recordings --backbone spikes:unet --width 4 --kernel-sizes 3,8 --dilations 1,5"
    few = "--search-epochs 2 --retrain-epochs 6 --exclude bottom.3"
    shown = run("search", *words.split(), *few.split(), "--out", "run")
    assert "searching 6 convolutions" in shown.stderr
    assert "kept as it is: grow: it is a ConvTranspose1d; only Conv1d and Conv2d are searched" in shown.stderr
    assert "kept as it is: bottom.3: it is excluded by 'bottom.3'" in shown.stderr
    architecture = json.loads((here / "run" / "architecture.json").read_text())
    assert architecture["backbone"] == "spikes:unet"
    assert set(architecture["kept"]) == {"grow", "bottom.3", "head"}
    config = json.loads((here / "run" / "config.json").read_text())
    assert set(config["source"]) == {"factory", "sha256"} and config["dense"]
    assert config["source"]["factory"] == "spikes:recordings"
    assert "bottom.3" in run("inspect", "run").stdout

    run("export", "run", "--out", "bundle", "--lowering", "fft", "--tune", "estimate")
    parity = json.loads((here / "bundle" / "parity.json").read_text())
    assert all(each["max_relative_error"] <= 1e-5 for each in parity["outputs"])
    chosen = [layer["chosen"] for layer in json.loads((here / "bundle" / "plan.json").read_text())["layers"]]
    assert any(each.startswith("fft") for each in chosen)
    x = np.random.default_rng(0).standard_normal((4, 1, 128)).astype("f4")
    with torch.inference_mode():
        expected = Run.load(here / "run").searched_model()(torch.from_numpy(x)).numpy()
    (given,) = OnnxRuntime(here / "bundle" / "model.onnx").run({"input": x}).values()
    assert given.shape == (4, 2, 128)
    assert np.abs(given - expected).max() <= 1e-5 * np.abs(expected).max()
