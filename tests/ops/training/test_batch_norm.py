"""Batch norms with vector instructions are torch's batch norms."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.training import batch_norm
from dashdeploy.ops.training.batch_norm import vectorize_batch_norms


@pytest.fixture(autouse=True)
def small_inputs_as_well():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_norm, "FEWEST_NUMBERS", 1)
        yield


def trained(norm, x):
    """The output, all gradients and all statistics after one batch."""
    here = x.clone().requires_grad_()
    y = norm(here)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), here.grad, *(p.grad for p in norm.parameters()), *norm.buffers()]


def is_mine(norm):
    return "forward" in vars(norm)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(
        [(2, 3, 40), (1, 3, 32), (5, 2, 1000), (2, 4, 8, 8), (3, 1, 4, 9), (4, 3, 31), (4, 3)]
    ),
    momentum=st.sampled_from([0.1, 1.0, None]),
    affine=st.booleans(),
    tracked=st.booleans(),
    offset=st.sampled_from([0.0, 100.0]),
    seed=st.integers(0, 999),
)
def test_it_is_torch_s_in_double(shape, momentum, affine, tracked, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    cls = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    norm = cls(shape[1], momentum=momentum, affine=affine, track_running_stats=tracked).double()
    if affine:
        nn.init.normal_(norm.weight, generator=generator)
        nn.init.normal_(norm.bias, generator=generator)
    other = copy.deepcopy(norm)
    vectorize_batch_norms(other)
    assert is_mine(other)
    for _ in range(3):
        x = torch.randn(shape, generator=generator, dtype=torch.double) + offset
        for here, there in zip(trained(other, x), trained(norm, x), strict=True):
            torch.testing.assert_close(here, there, rtol=1e-9, atol=1e-9)
    norm.eval()
    other.eval()
    torch.testing.assert_close(other(x), norm(x))


@pytest.mark.parametrize(("offset", "most"), [(0.0, 1e-6), (50.0, 5e-5)])
def test_single_precision_differs_by_rounding(offset, most):
    """Numbers of 50 are rounded to 3e-6 of their spread; a difference of squares would lose 1e-4 of the variance."""
    x = torch.randn(10, 6, 2000, generator=torch.Generator().manual_seed(0)) + offset
    norm = nn.BatchNorm1d(6)
    exact = trained(copy.deepcopy(norm).double(), x.double())
    vectorize_batch_norms(norm)
    for here, there in zip(trained(norm, x), exact, strict=True):
        assert (here - there).abs().max() <= most * max(1.0, float(there.abs().max()))


def test_the_statistics_of_several_batches_are_their_mean():
    norm = nn.BatchNorm1d(2, momentum=None)
    vectorize_batch_norms(norm)
    batches = [torch.randn(3, 2, 50) for _ in range(4)]
    with torch.no_grad():
        for batch in batches:
            norm(batch)
    expected = torch.stack([batch.var((0, 2)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_var, expected)
    assert norm.num_batches_tracked == 4


@pytest.mark.parametrize(
    "x", [torch.randn(1, 3), torch.zeros(2, 3, 40, dtype=torch.bfloat16), torch.randn(2, 4, 40)]
)
def test_errors_and_other_types_are_torch_s(x):
    norm = nn.BatchNorm1d(3)
    other = copy.deepcopy(norm)
    vectorize_batch_norms(other)
    results = []
    for each in (norm, other):
        try:
            results.append(each(x).dtype)
        except (ValueError, RuntimeError) as error:
            results.append(type(error))
    assert results[0] == results[1]


def test_subclasses_and_changed_ones_are_left_alone():
    class Own(nn.BatchNorm1d):
        def forward(self, x):
            return x

    changed = nn.BatchNorm1d(2)
    changed.forward = lambda x: 0 * x
    network = nn.Sequential(Own(2), changed, nn.SyncBatchNorm(2), nn.InstanceNorm1d(2))
    vectorize_batch_norms(network)
    assert not is_mine(network[0]) and not is_mine(network[2]) and not is_mine(network[3])
    assert not changed(torch.ones(1, 2, 40)).any()


def test_a_copy_has_statistics_of_its_own():
    norm = nn.BatchNorm1d(2)
    vectorize_batch_norms(norm)
    other = copy.deepcopy(norm)
    other(torch.randn(3, 2, 50) + 5)
    assert not norm.running_mean.any() and other.running_mean.all()


def test_mixed_precision_leaves_the_statistics_alone():
    """An input in float32 between layers in bfloat16: neither the variance nor the way back is in half precision."""
    x = torch.randn(4, 3, 500, generator=torch.Generator().manual_seed(0)) + 3
    norm = nn.BatchNorm1d(3)
    other = copy.deepcopy(norm)
    vectorize_batch_norms(other)
    expected = trained(copy.deepcopy(norm), x)
    with torch.autocast("cpu", torch.bfloat16):
        found = trained(other, x)
    for here, there in zip(found, expected, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
