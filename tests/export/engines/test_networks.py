"""Engines of TensorRT-RTX of every compiled network of `bench networks`, in both precisions."""

import json

import pytest

from dashdeploy.bench.networks.measure import NETWORKS, save_networks
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

PLANS = {
    # Candidates are not timed, so both are the same on every machine but for the race of the first.
    "estimated": {"tune": "estimate"},
    "all-fft": {"lowering": "fft", "tune": "estimate"},
}


CASES = [(name, plan) for name in NETWORKS for plan in PLANS if (name, plan) != ("convnext", "all-fft")]
"""Depthwise convolutions by FFT take minutes and are of no use: ConvNeXt is estimated alone."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The networks as ONNX files, each written when it is first asked for."""
    folder = tmp_path_factory.mktemp("networks")

    def path(name):
        if not (folder / f"{name}.onnx").exists():
            save_networks([name], folder)
        return folder / f"{name}.onnx"

    return path


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "plan"), CASES)
def test_every_compiled_network_builds(tmp_path, saved, name, plan, precision):
    settings = ExportSettings(precision=precision, artifacts=ArtifactSettings(trt_rtx=True), **PLANS[plan])
    bundle = export(saved(name), tmp_path / "bundle", settings)
    sidecar = json.loads((bundle.path / "model.rtx.json").read_text())
    assert sidecar["batches"] == [1, 8, 32]  # the batch is dynamic
    assert sidecar["precision"] == precision
    assert (bundle.path / "model.rtx").stat().st_size > 1 << 20
    compiled = [layer for layer, lowering in sidecar["layers"].items() if lowering != "direct"]
    speed = bundle.read_json("plan.json")["speed"]
    assert compiled or name == "convnext" or speed["shipped"] == "direct"
    parity = bundle.read_json("parity.json")
    assert all(entry["max_relative_error"] <= parity["tolerance"] for entry in parity["outputs"])
