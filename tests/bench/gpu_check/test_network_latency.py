"""The engines' rows: figures where the engine is here, and otherwise why there are none."""

import pytest
import torch
from torch import nn

from dashdeploy.bench.gpu_check import network_latency
from dashdeploy.bench.networks import measure as networks
from dashdeploy.runtimes.names import EngineName

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    def build():
        return nn.Sequential(nn.Conv1d(8, 8, 15, padding="same"), nn.ReLU())

    entries = {"small": networks.Network("a convolution", (8, 200), build)}
    monkeypatch.setattr(networks, "NETWORKS", entries)
    monkeypatch.setattr(network_latency, "NETWORKS", entries)


def test_an_engine_that_is_here_is_timed():
    row = network_latency._engine_row("small", EngineName.ORT_CPU, quick=True)
    assert row.reason is None
    assert set(row.figures) == {"direct, batch 1, ms", "compiled, batch 1, ms"}
    assert all(figure > 0 for figure in row.figures.values())


@pytest.mark.parametrize("engine", [EngineName.ORT_CUDA, EngineName.TENSORRT])
def test_an_engine_that_is_not_here_says_why(engine):
    row = network_latency._engine_row("small", engine, quick=True)
    assert row.figures == {}
    assert row.reason.startswith("left out: ")
    assert "an NVIDIA GPU with its driver" in row.reason


def test_the_compiled_network_agrees_and_an_error_is_seen(monkeypatch):
    source = networks.network_source("small", lambda _: None)
    row, half = network_latency._torch_rows("small", source, "cpu", quick=True)
    assert (row.what, half.what) == ("small, torch, batch 1, fp32", "small, torch, batch 1, bf16")
    assert row.passed
    assert half.passed is None
    assert 1e-4 < half.figures["largest error"] < 0.1
    for each in (row, half):
        assert all(each.figures[f"{key}, ms"] > 0 for key in ("direct", "planned", "by FFT"))
    assert 0 < row.figures["largest error"] < 1e-5  # by FFT, so not the same
    wrong = nn.Sequential(nn.Conv1d(8, 8, 15, padding="same"), nn.ReLU()).eval()
    monkeypatch.setattr(network_latency, "_lowered", lambda *_: wrong)
    row, _ = network_latency._torch_rows("small", source, "cpu", quick=True)
    assert row.passed is False
    assert "more than 0.0001 of the largest output" in row.reason
