"""A run of search becomes a bundle that says what its PyTorch model says."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dashdeploy.backbones import build_backbone, build_searched
from dashdeploy.errors import InputError
from dashdeploy.export import ExportSettings, export
from dashdeploy.run_directory import Architecture
from dashdeploy.runtimes import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32; see test_compiler.py."""

FORCED = ExportSettings(lowering="fft", tune="estimate")

ARCHITECTURE = {
    "backbone": "resnet1d",
    "arguments": {"in_channels": 2, "outputs": 3, "width": 4},
    "kernel_sizes": [7, 11],
    "dilations": [1, 5],
    "layers": [
        {
            "name": f"blocks.{i // 3}.convs.{i % 3}",
            "kernel_size": 11,
            "dilation": 5,
            "alpha": [[0, 0], [0, 1]],
        }
        for i in range(9)
    ],
}


@pytest.fixture
def finished_run(tmp_path):
    """A run as search writes it, with random weights."""
    torch.manual_seed(0)
    folder = tmp_path / "run"
    folder.mkdir()
    architecture = Architecture.model_validate(ARCHITECTURE)
    searched, backbone = (
        build_searched(architecture),
        build_backbone("resnet1d", ARCHITECTURE["arguments"]),
    )
    for module in searched.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_file(searched.state_dict(), folder / "model.safetensors")
    save_file(backbone.state_dict(), folder / "backbone.safetensors")
    samples = np.random.default_rng(0).standard_normal((20, 2, 64)).astype("f4")
    np.savez(folder / "samples.npz", inputs=samples)
    contents = {
        "config": {"input_shape": [2, 64], "labels": ["low", "mid", "high"]},
        "architecture": ARCHITECTURE,
        "metrics": {},
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder, searched.eval(), samples


def test_a_run_becomes_a_bundle(tmp_path, finished_run):
    folder, searched, samples = finished_run
    bundle = export(folder, tmp_path / "out", FORCED)
    assert sorted(file.name for file in (bundle.path / "baseline").iterdir()) == [
        "backbone.onnx",
        "direct.onnx",
    ]
    manifest = bundle.manifest
    assert manifest.labels == ["low", "mid", "high"]
    assert (manifest.inputs[0].name, manifest.outputs[0].name) == ("input", "logits")
    assert isinstance(manifest.inputs[0].shape[0], str)
    assert manifest.inputs[0].shape[1:] == (2, 64)
    assert manifest.source == "run"

    layers = bundle.read_json("plan.json")["layers"]
    chosen = {layer["name"]: layer["chosen"].partition("(")[0] for layer in layers}
    searched_layers = {layer["name"] for layer in ARCHITECTURE["layers"]}
    assert {name for name in chosen if name in searched_layers} == searched_layers
    assert all(chosen[name] == "fft" for name in searched_layers)

    expected = searched(torch.from_numpy(samples)).detach().numpy()

    def error(name):
        got = OnnxRuntime(bundle.path / name, threads=1).run({"input": samples})["logits"]
        return np.abs(got - expected).max() / np.abs(expected).max()

    for name in ("model.onnx", "baseline/direct.onnx"):
        assert error(name) <= TOLERANCE
    assert error("baseline/backbone.onnx") > 1e-2  # another network altogether

    entries = bundle.read_json("parity.json")["outputs"]
    assert [entry["inputs"] for entry in entries] == [
        "random, batch 1",
        "random, batch 3",
        "validation, batch 20",
    ]
    assert entries[-1]["top1_agreement"] == 1
    assert bundle.read_json("parity.json")["accuracy"] is None  # the samples have no targets
    assert bundle.read_json("parity.json")["reference"].startswith("PyTorch 2")
    with pytest.raises(InputError, match="a run knows its input's shape"):
        export(folder, tmp_path / "again", FORCED.model_copy(update={"input_shapes": {"input": (1, 2, 64)}}))


def test_with_targets_the_accuracy_is_reported_too(tmp_path, finished_run):
    folder, searched, samples = finished_run
    with torch.no_grad():
        right = searched(torch.from_numpy(samples)).argmax(1).numpy()
    wrong = (right + (np.arange(20) < 5)) % 3  # a quarter of the targets contradicts the model
    np.savez(folder / "samples.npz", inputs=samples, targets=wrong)
    bundle = export(folder, tmp_path / "out", FORCED)
    accuracy = bundle.read_json("parity.json")["accuracy"]
    assert accuracy == {"samples": 20, "reference": 0.75, "model": 0.75, "allowed_drop": 0.01}


def test_a_run_with_another_networks_weights_is_refused(tmp_path, finished_run):
    folder, _, _ = finished_run
    (folder / "backbone.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"backbone\.safetensors does not hold this architecture's weights"):
        export(folder, tmp_path / "out", FORCED)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"it has no model\.safetensors"):
        export(folder, tmp_path / "out", FORCED)
    with pytest.raises(InputError, match="no such run or model"):
        export(tmp_path / "nowhere", tmp_path / "out", FORCED)
