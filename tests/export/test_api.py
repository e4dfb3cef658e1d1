"""dashdeploy.compile: a module, a file or a run becomes a bundle that says the same."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import dashdeploy
from dashdeploy.backbones.run import Run
from dashdeploy.data.scaling.scaling import Scaled, scaling_of
from dashdeploy.errors import InputError
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

X = np.random.default_rng(0).standard_normal((3, 4, 60)).astype(np.float32)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 9, padding=4), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 4, 3, dilation=2)
    )


def test_a_module_keeps_its_mode_and_its_outputs(tmp_path):
    module = network().train()
    module[1].running_mean.normal_()
    bundle = dashdeploy.compile(
        module, torch.from_numpy(X), out=tmp_path / "b", tune="estimate", lowering="fft"
    )
    assert module.training
    assert all(layer["chosen"].startswith("fft") for layer in bundle.read_json("plan.json")["layers"])
    assert any("validation" in entry["inputs"] for entry in bundle.read_json("parity.json")["outputs"])
    model = OnnxRuntime(bundle.path / "model.onnx")
    (y,) = model.run({model.inputs[0].name: X}).values()
    expected = module.eval()(torch.from_numpy(X)).detach().numpy()
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


def test_levels_and_sizes_of_samples_are_part_of_the_model(tmp_path):
    """Series of 1e-3 to 1e3, some beside a mean of a hundred deviations, in float32 as PyTorch has them."""
    torch.manual_seed(0)
    x = torch.randn(40, 1, 60) * torch.logspace(-3, 3, 40)[:, None, None]
    x[::2] *= torch.randn(20, 1, 1) / 10
    x[::2] += 100 * x[::2].std(2, keepdim=True)
    body = nn.Sequential(nn.Conv1d(3, 8, 9, padding=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    module = Scaled(body, scaling_of(x, None, "sizes"), rank=1, dense=False).eval()
    bundle = dashdeploy.compile(module, x, out=tmp_path / "b", tune="estimate", lowering="fft")
    assert bundle.manifest.inputs[0].shape[1:] == (1, 60)
    model = OnnxRuntime(bundle.path / "model.onnx")
    (y,) = model.run({model.inputs[0].name: x.numpy()}).values()
    expected = module(x).detach().numpy()
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()
    # Some converters cannot ask for a shape.
    assert "Shape" not in {
        node.op_type for node in onnx.load(bundle.path / "baseline" / "direct.onnx").graph.node
    }


def test_a_file_takes_its_sizes_from_the_example(tmp_path, onnx_model):
    path = tmp_path / "m.onnx"
    onnx.save(onnx_model("g (float[b,4,n] x) => (float[b,8,m] y) { y = Conv(x, w) }", w=(8, 4, 9)), path)
    bundle = dashdeploy.compile(path, X, out=tmp_path / "b", tune="estimate", lowering="fft")
    assert bundle.manifest.inputs[0].shape[1:] == (4, 60)
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")


@pytest.mark.parametrize(
    ("example", "message"),
    [(None, "needs an example_input"), (torch.zeros(3, 4, 60, dtype=torch.int64), "must be float32")],
)
def test_a_module_needs_an_example(tmp_path, example, message):
    with pytest.raises(InputError, match=message):
        dashdeploy.compile(network(), example, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_setting_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="thread"):
        dashdeploy.compile(network(), X, out=tmp_path / "b", thread=4)


@pytest.mark.parametrize("given", [Run.load, str])
def test_a_run_is_compiled_as_search_returns_it_and_by_its_path(tmp_path, finished_run, given):
    folder, searched, samples = finished_run
    bundle = dashdeploy.compile(given(folder), out=tmp_path / "b", tune="estimate", lowering="fft")
    assert bundle.manifest.labels == ["low", "mid", "high"]
    assert (bundle.path / "baseline/backbone.onnx").is_file()
    y = OnnxRuntime(bundle.path / "model.onnx").run({"input": samples})["logits"]
    expected = searched(torch.from_numpy(samples)).detach().numpy()
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_target_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=r"compile: target: .*'ort-cpu'"):
        dashdeploy.compile(network(), X, out=tmp_path / "b", target="ort-gpu")
    assert not (tmp_path / "b").exists()
