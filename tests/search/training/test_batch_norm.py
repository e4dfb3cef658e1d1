"""Statistics of batch norms over all training data."""

import copy

import pytest
import torch
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import nn

from dashdeploy.data.task import Split
from dashdeploy.search.config.devices import Devices
from dashdeploy.search.training.batch_norm import recalibrate
from dashdeploy.search.training.trainer import _placement


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 3, 3),
        nn.BatchNorm1d(3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv1d(3, 4, 3),
        nn.BatchNorm1d(4),
    )


def test_they_are_those_of_the_data_layer_by_layer(network):
    """Of one batch: the mean and the unbiased variance of what each layer gets when those before use their own."""
    x = 3 + 2 * torch.randn(40, 2, 20)
    momenta = [network[1].momentum, network[5].momentum]
    recalibrate(network, Split(x, torch.zeros(40)))
    with torch.no_grad():
        first = network[0](x)
        torch.testing.assert_close(network[1].running_mean, first.mean((0, 2)))
        torch.testing.assert_close(network[1].running_var, first.var((0, 2)))
        normed = (first - first.mean((0, 2))[:, None]) / (first.var((0, 2), correction=0) + 1e-5).sqrt()[
            :, None
        ]
        second = network[4](normed.relu())
    torch.testing.assert_close(network[5].running_mean, second.mean((0, 2)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network[5].running_var, second.var((0, 2)), atol=1e-5, rtol=1e-5)
    assert not any(each.training for each in network.modules())
    assert [network[1].momentum, network[5].momentum] == momenta


def test_large_data_are_taken_in_equal_batches(network):
    x = torch.randn(1030, 2, 20)
    recalibrate(network, Split(x, torch.zeros(1030)))
    assert int(network[1].num_batches_tracked) == 3  # of 344, 343 and 343, at most 512 each
    first = network[0](x).detach()
    torch.testing.assert_close(network[1].running_mean, first.mean((0, 2)), atol=1e-3, rtol=0)
    again = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, Split(x, torch.zeros(1030)))
    assert all(torch.equal(again[name], tensor) for name, tensor in network.state_dict().items())


def test_a_network_without_statistics_stays():
    plain = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3, track_running_stats=False)
    )
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    recalibrate(plain, Split(torch.randn(8, 2, 9), torch.zeros(8)))
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


def test_batch_norms_are_those_of_all_processes_on_gpus_alone():
    """Torch's SyncBatchNorm takes GPUs alone; on CPUs each process has the statistics of its own part."""
    assert _placement(Devices("cuda", 2), alone=False, unused=False)["sync_batchnorm"] is True
    assert _placement(Devices("cpu", 2), alone=False, unused=False)["sync_batchnorm"] is False
    for alone in (
        _placement(Devices("cuda", 1), alone=False, unused=False),
        _placement(Devices("cuda", 2), alone=True, unused=False),
    ):
        assert "sync_batchnorm" not in alone


def test_a_network_whose_batch_norms_were_shared_is_the_same_afterwards():
    """Lightning exchanges the batch norms of a training on several GPUs, and exchanges them back when it ends."""
    torch.manual_seed(0)
    inputs = torch.randn(40, 3, 8)
    network = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU())
    network(inputs)
    changed = copy.deepcopy(network)
    layer_sync = TorchSyncBatchNorm()
    changed = layer_sync.apply(changed)
    assert isinstance(changed[1], nn.SyncBatchNorm)
    changed = layer_sync.revert(changed)
    assert not isinstance(changed[1], nn.SyncBatchNorm)
    split = Split(inputs, torch.zeros(40, dtype=torch.long))
    expected, found = (recalibrate(each, split).state_dict() for each in (network, changed))
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(changed(inputs), network(inputs))
