"""A run of search becomes a bundle that says what its PyTorch model says."""

import json

import numpy as np
import pytest
import torch

from dashdeploy.errors import InputError
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32; see test_compiler.py."""

FORCED = ExportSettings(lowering="fft", tune="estimate")


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
    architecture = json.loads((folder / "architecture.json").read_text())
    searched_layers = {layer["name"] for layer in architecture["layers"]}
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
    assert accuracy == {
        "measure": "accuracy",
        "samples": 20,
        "reference": 0.75,
        "model": 0.75,
        "allowed_drop": 0.01,
    }


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
