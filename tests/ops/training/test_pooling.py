"""The mean over positions and its gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.ops.conv.channels_last import as_image
from dashdeploy.ops.training.pooling import mean_of_positions


@given(
    shape=st.sampled_from([(2, 3, 7), (1, 4, 1), (2, 3, 4, 5), (3, 1, 1, 6)]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_mean_and_its_gradient_are_torch_s_bit_for_bit(shape, last, seed):
    generator = torch.Generator().manual_seed(seed)
    x, weights = torch.randn(shape, generator=generator), torch.randn(shape[:2], generator=generator)
    if last:
        x = as_image(x).squeeze(2) if x.dim() == 3 else as_image(x)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = mean_of_positions(mine, training=True)
    expected = theirs.mean(tuple(range(2, len(shape))))
    assert torch.equal(y, expected)
    assert torch.equal(y, mean_of_positions(x, training=False))
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5)])
def test_the_gradient_is_not_written_out(shape):
    x = torch.randn(shape, requires_grad=True)
    seen = []
    middle = x * 1
    middle.register_hook(lambda gradient: seen.append(gradient.stride()))
    mean_of_positions(middle, training=True).sum().backward()
    assert seen == [(3, 1, *[0] * (len(shape) - 2))]
