"""The fixed list of whole networks, and one small network walked through export and timing."""

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from dashdeploy.bench.networks import measure as networks
from dashdeploy.bench.networks.measure import NETWORKS, Network, check_names, with_random_weights
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def kernels(model):
    """(kernel size, dilation) of the convolutions that are searched, in order."""
    return [
        (module.kernel_size[0], module.dilation[0])
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv1d) and ".convs." in name
    ]


def test_the_first_network_is_the_one_that_figures_are_quoted_for():
    name, network = next(iter(NETWORKS.items()))
    assert name == "resnet1d"
    assert network.input_shape == (1, 1000)
    assert kernels(network.searched()) == list(
        zip((15, 11, 19, 7, 15, 19, 11, 15, 7), (1, 3, 15, 7, 3, 1, 15, 3, 7), strict=True)
    )
    assert kernels(network.original()) == [(8, 1), (5, 1), (3, 1)] * 3
    assert network.original is not None
    for model in (network.searched(), network.original()):
        stem = next(module for module in model.modules() if isinstance(module, nn.Conv1d))
        assert (stem.in_channels, stem.out_channels) == (1, 64)
        assert model.eval()(torch.zeros(2, 1, 1000)).shape == (2, 10)


def test_random_weights_leave_no_batch_norm_that_could_be_left_out():
    def built():
        return with_random_weights(nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.BatchNorm2d(4)))

    first, again = built(), built()
    for norm, other in zip(first[1:], again[1:], strict=True):
        for value, neutral in (
            (norm.running_mean, 0),
            (norm.running_var, 1),
            (norm.weight, 1),
            (norm.bias, 0),
        ):
            assert (value != neutral).all()
        assert torch.equal(norm.running_mean, other.running_mean)  # figures of two days are of one network
        assert torch.equal(norm.running_var, other.running_var)
    assert not first.training


def test_an_unknown_network_is_named():
    with pytest.raises(InputError, match=r"resnet2d: no such network; did you mean resnet1d\?"):
        check_names(["resnet2d"])
    with pytest.raises(
        InputError,
        match="zebra: no such network; choose from resnet1d, tcn, inceptiontime, wrn-16-4, convnext",
    ):
        check_names(["zebra"])


SMALL = Network(
    "two convolutions",
    (2, 60),
    lambda: nn.Sequential(nn.Conv1d(2, 4, 9), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 7)),
    lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 3)),
)


def test_networks_are_saved_for_other_commands(monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "NETWORKS", {**NETWORKS, "small": SMALL})
    folder = tmp_path / "new" / "folder"
    result = CliRunner().invoke(app, ["bench", "networks", "small", "--save", str(folder), "--quiet"])
    assert result.exit_code == 0
    searched, backbone = folder / "small.onnx", folder / "small-backbone.onnx"
    assert result.stdout == f"{searched}\n{backbone}\n"
    x = np.ones((3, 2, 60), np.float32)
    outputs = [OnnxRuntime(path).run({"input": x})["logits"].shape for path in (searched, backbone)]
    assert outputs == [(3, 2, 46), (3, 2, 56)]
    first = searched.read_bytes()
    networks.save_networks(["small"], folder)
    assert searched.read_bytes() == first  # always the same weights
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["bench", "networks", "small", "--save", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr == f"error: --save {tmp_path}/file: File exists; name another folder\n"


def test_a_small_network_is_exported_and_timed(monkeypatch, tmp_path, fits_schema):
    monkeypatch.setattr(networks, "NETWORKS", {**NETWORKS, "small": SMALL})
    file, page = tmp_path / "small.json", tmp_path / "small.html"
    words = ["bench", "networks", "small", "--batches", "1,2", "--seconds", "0.1"]
    done = CliRunner().invoke(app, [*words, "--json", str(file), "--report", str(page)])
    assert done.exit_code == 0, done.output
    report = fits_schema("latency", file.read_text())
    assert [bundle["path"] for bundle in report["bundles"]] == ["bench networks"]
    measured = [(row["batch"], row["variant"]) for row in report["rows"]]
    assert measured == [(batch, name) for batch in (1, 2) for name in ("backbone", "direct", "compiled")]
    assert all(row["calls"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in report["rows"])
    assert "small: two convolutions" in done.stderr
    assert "The plan" in page.read_text()
