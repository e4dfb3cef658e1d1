"""Weight norm for an AggConv: every candidate's kernel has a direction and a length of its own.

T. Salimans, D. P. Kingma, "Weight normalization", NeurIPS 2016, equation 2: w = g v / |v|, per output channel. A
candidate is normalized as the convolution that it stands for would be.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashdeploy.ops.aggconv.module import AggConv


class CandidateNorm(nn.Module):
    """Parametrization of an AggConv's weight [taps, out, in / groups].

    Attributes:
        gain: g, [|K||D|, out].
    """

    candidate: Tensor

    def __init__(self, agg_conv: AggConv) -> None:
        super().__init__()
        counts = torch.tensor([k**agg_conv.rank for k, _ in agg_conv.candidates])
        candidate = torch.repeat_interleave(torch.arange(len(counts)), counts)
        self.register_buffer("candidate", candidate.to(agg_conv.weight.device), persistent=False)
        self.gain = nn.Parameter(self._lengths(agg_conv.weight.detach(), len(counts)))

    def forward(self, v: Tensor) -> Tensor:
        """The weight for the unnormalized v."""
        scale = self.gain / self._lengths(v, len(self.gain)).clamp_min(1e-12)
        return v * scale.index_select(0, self.candidate)[:, :, None]

    def _lengths(self, v: Tensor, candidates: int) -> Tensor:
        squares = v.square().sum(2)
        return squares.new_zeros(candidates, v.shape[1]).index_add(0, self.candidate, squares).sqrt()
