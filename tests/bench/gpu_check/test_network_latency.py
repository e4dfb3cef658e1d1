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
    (row,) = network_latency._torch_rows("small", source, "cpu", quick=True)
    assert row.passed
    assert 0 < row.figures["largest error"] < 1e-5  # by FFT, so not the same
    wrong = nn.Sequential(nn.Conv1d(8, 8, 15, padding="same"), nn.ReLU()).eval()
    monkeypatch.setattr(network_latency, "_lowered", lambda *_: wrong)
    (row,) = network_latency._torch_rows("small", source, "cpu", quick=True)
    assert not row.passed
    assert "more than 0.0001 of the largest output" in row.reason
