"""The Fourier method lays its products out for the device, which changes no number."""

import pytest
import torch

from dashdeploy.ops.aggconv import fourier
from dashdeploy.ops.aggconv.fourier import ALIGNED_ROWS, matrix_rows
from dashdeploy.ops.aggconv.module import AggConv1d, AggConv2d


def test_rows_are_odd_on_a_cpu_and_aligned_on_a_gpu():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [matrix_rows(n, cpu) for n in (1, 2, 63, 64)] == [1, 3, 63, 65]
    assert [matrix_rows(n, gpu) for n in (1, 8, 9, 64)] == [8, 8, 16, 64]


@pytest.mark.parametrize(
    ("cls", "shape", "groups"),
    [(AggConv1d, (3, 6, 40), 1), (AggConv1d, (5, 6, 700), 2), (AggConv2d, (3, 6, 9, 10), 1)],
)
def test_aligned_rows_give_the_same(cls, shape, groups, monkeypatch):
    torch.manual_seed(0)
    layer = cls(6, 6, (3, 5), (1, 3), groups=groups, method="fourier").double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def values():
        y = layer(x)
        return y, *torch.autograd.grad(y.square().sum(), (x, layer.weight, layer.alpha))

    expected = values()
    padded = []

    def aligned(count, _):
        padded.append(-count % ALIGNED_ROWS)
        return count + padded[-1]

    monkeypatch.setattr(fourier, "matrix_rows", aligned)
    for one, other in zip(values(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert max(padded) > 1
