"""A run with random weights, and the bundle that is compiled from it with FFT convolutions."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.export import pipeline
from dashdeploy.export.settings import ExportSettings

LENGTH, LABELS = 128, ["low", "<b>mid</b>", "high"]
ARGUMENTS = {"in_channels": 2, "outputs": 3, "width": 4}


def write_run(folder, kind):
    """As search writes it; the network is returned."""
    layers = [
        {"name": f"blocks.{i // 3}.convs.{i % 3}", "kernel_size": 9, "dilation": 3, "alpha": [[1.0]]}
        for i in range(9)
    ]
    written = {
        "backbone": "resnet1d",
        "arguments": ARGUMENTS,
        "kernel_sizes": [9],
        "dilations": [3],
        "layers": layers,
    }
    folder.mkdir()
    torch.manual_seed(0)
    network = build_searched(Architecture.model_validate(written)).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    save_file(build_backbone("resnet1d", ARGUMENTS).state_dict(), folder / "backbone.safetensors")
    samples = np.random.default_rng(0).standard_normal((5, 2, LENGTH)).astype("f4")
    np.savez(folder / "samples.npz", inputs=samples)
    config = {"input_shape": [2, LENGTH], "labels": LABELS, "kind": kind, "settings": {}}
    for name, content in (("config", config), ("architecture", written), ("metrics", {})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return network


SETTINGS = ExportSettings(lowering="fft", tune="estimate")


@pytest.fixture(scope="package")
def searched(tmp_path_factory):
    """A run, its network in PyTorch, one of its samples, and its bundle."""
    folder = tmp_path_factory.mktemp("searched")
    network = write_run(folder / "waves", "classification")
    bundle = pipeline.export(folder / "waves", folder / "bundle", SETTINGS)
    chosen = {layer["chosen"] for layer in bundle.read_json("plan.json")["layers"]}
    assert any(name.startswith("fft") for name in chosen)
    return SimpleNamespace(run=folder / "waves", network=network, bundle=bundle, labels=LABELS)
