"""Weight norm of candidates is torch's weight norm of the convolutions that they stand for."""

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from dashdeploy.ops.aggconv.module import AggConv1d, AggConv2d
from dashdeploy.search.supernet.candidate_norm import CandidateNorm


def normed(agg_conv):
    parametrize.register_parametrization(agg_conv, "weight", CandidateNorm(agg_conv))
    return agg_conv


def test_starts_without_a_change():
    module = AggConv1d(2, 3, [3, 4], [1, 5])
    before = module.weight.detach().clone()
    torch.testing.assert_close(normed(module).weight.detach(), before)


def test_every_candidate_is_normalized_as_torch_does_it():
    torch.manual_seed(0)
    for module, conv_class in (
        (AggConv1d(2, 3, [3, 4], [1]), nn.Conv1d),
        (AggConv2d(2, 3, [2, 3], [1]), nn.Conv2d),
    ):
        module = normed(module.double())  # noqa: PLW2901
        gain, v = module.parametrizations.weight[0].gain, module.parametrizations.weight.original
        with torch.no_grad():
            gain.uniform_(0.5, 2)
            v.normal_()
        first = 0
        for index, (k, _) in enumerate(module.candidates):
            conv = parametrizations.weight_norm(conv_class(2, 3, k).double())
            taps = k**module.rank
            direction = v[first : first + taps].permute(1, 2, 0).reshape(conv.weight.shape)
            with torch.no_grad():
                conv.parametrizations.weight.original0.copy_(gain[index].view(-1, *[1] * (module.rank + 1)))
                conv.parametrizations.weight.original1.copy_(direction)
            ours = module.weight[first : first + taps].permute(1, 2, 0).reshape(conv.weight.shape)
            torch.testing.assert_close(ours, conv.weight, rtol=0, atol=1e-12)
            first += taps
        assert first == len(module.weight)
