"""Models in ONNX's text format, compiled with every convolution forced to FFT, against ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper, parser
from safetensors.torch import save_file
from torch import nn

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.source import INPUT_NAME, Source, from_modules
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.export.planning.planner import choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.cpu import OrtCpuTarget
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    """No test reads or writes the costs that the user of this machine has measured."""
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def onnx_model() -> Callable[..., onnx.ModelProto]:
    """Builds a model: the graph in ONNX's text format, and initializers by name, as arrays or shapes."""

    def build(text, *, opset=17, ir_version=9, domains="", seed=0, **initializers):
        generator = np.random.default_rng(seed)
        head = f'<ir_version: {ir_version}, opset_import: ["" : {opset}{domains}]>\n'
        model = parser.parse_model(head + text)
        for name, given in initializers.items():
            array = given
            if isinstance(given, tuple):  # weights of the usual scale (He)
                array = generator.standard_normal(given) / np.sqrt(np.prod(given[1:]))
                array = array.astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        return model

    return build


@pytest.fixture
def fft() -> Callable[..., ir.Model]:
    """Compiles a model with every convolution that can be computed by FFT forced to it."""

    def compiled(model: onnx.ModelProto, *, expected: int | None) -> ir.Model:
        prepared = prepare(ir.from_proto(model))
        target = OrtCpuTarget(1)
        decisions = choose_lowerings(
            find_convolutions(prepared),
            ExportSettings(lowering="fft", tune="estimate"),
            target,
            TuningCache(target.describe()),
            lambda _message: None,
        )
        assert expected is None or len(decisions.lowerings) == expected
        return lower(prepared, decisions.lowerings)

    return compiled


@pytest.fixture(scope="session")
def largest_error() -> Callable[..., float]:
    """The largest difference of two models' outputs, as a share of the first one's largest magnitude."""

    def error(original: onnx.ModelProto, other: ir.Model, batch: int = 1) -> float:
        first = OnnxRuntime(original.SerializeToString(), threads=1)
        second = OnnxRuntime(ir.to_proto(other).SerializeToString(), threads=1)
        assert [spec.name for spec in second.inputs] == [spec.name for spec in first.inputs]
        assert [spec.name for spec in second.outputs] == [spec.name for spec in first.outputs]
        generator = np.random.default_rng(batch)
        feeds = {spec.name: spec.random(batch, generator) for spec in first.inputs}
        expected, got = first.run(feeds), second.run(feeds)
        worst = 0.0
        for name, value in expected.items():
            assert got[name].shape == value.shape
            scale = np.abs(value).max()
            assert scale > 0
            worst = max(worst, float(np.abs(got[name] - value).max() / scale))
        return worst

    return error


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


def write_run(
    folder: Path, content: dict[str, Any], length: int, **config: object
) -> tuple[nn.Module, npt.NDArray[np.float32]]:
    """Write a run of the architecture `content` as search does, with random weights; gives network and samples."""
    torch.manual_seed(0)
    folder.mkdir()
    architecture = Architecture.model_validate(content)
    searched = build_searched(architecture)
    backbone = build_backbone(architecture.backbone, architecture.arguments)
    for module in searched.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_file(searched.state_dict(), folder / "model.safetensors")
    save_file(backbone.state_dict(), folder / "backbone.safetensors")
    samples = np.random.default_rng(0).standard_normal((20, 2, length)).astype("f4")
    np.savez(folder / "samples.npz", inputs=samples)
    contents = {
        "config": {"input_shape": [2, length], "labels": ["low", "mid", "high"], **config},
        "architecture": content,
        "metrics": {},
    }
    for name, each in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(each))
    return searched.eval(), samples


def write_ensemble(
    folder: Path, members: int, *, content: dict[str, Any] | None = None, length: int = 64, **config: object
) -> tuple[list[nn.Module], npt.NDArray[np.float32]]:
    """A run as the above with networks that disagree; gives all of them and the samples."""
    content = ARCHITECTURE if content is None else content
    written = {"settings": {"ensemble": members}, "dense": False, **config}
    _, samples = write_run(folder, content, length, **written)
    networks = []
    for member in range(1, members + 1):
        torch.manual_seed(member)
        network = build_searched(Architecture.model_validate(content))
        with torch.no_grad():
            for weights in list(network.parameters())[-2:]:  # of the last layer
                weights.mul_(8)
        name = "model.safetensors" if member == 1 else f"model.{member}.safetensors"
        save_file(network.state_dict(), folder / name)
        networks.append(network.eval())
    return networks, samples


@pytest.fixture
def finished_run(tmp_path: Path) -> tuple[Path, nn.Module, npt.NDArray[np.float32]]:
    """A run as search writes it, with random weights."""
    return (tmp_path / "run", *write_run(tmp_path / "run", ARCHITECTURE, 64))


@pytest.fixture(scope="session")
def run_model() -> Callable[..., list[np.ndarray]]:
    """Runs a model in ONNX Runtime and returns its outputs in order."""

    def run(model: onnx.ModelProto | ir.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
        return list(OnnxRuntime(proto.SerializeToString(), threads=1).run(feeds).values())

    return run


@pytest.fixture
def small_source(tmp_path: Path) -> Source:
    """A classifier of two convolutions as a run gives it: a torch module, and samples with the targets it finds."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv1d(2, 6, 11, padding=15, dilation=3),
        nn.ReLU(),
        nn.Conv1d(6, 6, 7, padding=3),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    ).eval()
    samples = np.random.default_rng(0).standard_normal((20, 2, 64)).astype("f4")
    with torch.no_grad():
        targets = module(torch.from_numpy(samples)).argmax(1).numpy()
    source = from_modules(tmp_path / "run", module, None, (2, 64), lambda _line: None)
    return replace(source, samples={INPUT_NAME: samples}, targets=targets)
