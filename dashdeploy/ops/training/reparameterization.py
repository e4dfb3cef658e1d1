"""Convolutions that learn as a sum of branches, and are one kernel to everything else.

X. Ding et al., "RepVGG", CVPR 2021 (arXiv 2101.03697), train a 3 x 3 convolution, one of a single tap and the
identity side by side, each with a batch norm, and add them up to one kernel afterwards. M. Hu et al., "Online
convolutional re-parameterization", CVPR 2022 (arXiv 2204.00826), add the kernels before they convolve, so that a step
costs what it did. So it is here, with each kernel scaled to a length that is learned (T. Salimans, D. P. Kingma,
"Weight normalization", NeurIPS 2016, arXiv 1602.07868, equation 2) in place of a batch norm. For an output channel
with the kernel w, the single tap u and the scales a, b, c,

    W = a w / |w| + b u / |u| at the centre + c at the centre of the channel itself,

the last one only where there are as many output channels as input channels. What is trained is exactly a convolution
with the kernel W, for any size, dilation and padding.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dashdeploy.ops.conv.frame import padded_sides
from dashdeploy.ops.conv.padded_conv import PaddedConv1d, PaddedConv2d

_TYPES = (nn.Conv1d, nn.Conv2d, PaddedConv1d, PaddedConv2d)


class Branches(nn.Module):
    """The kernel W of a convolution from its branches; the kernel w is the parameter that the convolution had.

    At first the branches share the length that w has: for inputs that are white, outputs are as large as they were.
    No output channel's w may be 0.

    Args:
        weight: w, [out_channels, in_channels, *kernel].
        centre: the tap of each axis that reads the output's own position.
    """

    own: Tensor

    def __init__(self, weight: Tensor, centre: tuple[int, ...]) -> None:
        super().__init__()
        outputs, inputs, *kernel = weight.shape
        axes = list(zip(kernel, centre, strict=True))
        self.pads = [side for k, tap in reversed(axes) for side in (tap, k - 1 - tap)]
        count = 3 if outputs == inputs else 2
        length = _lengths(weight.detach()) / count**0.5
        single = torch.empty(outputs, inputs, *(1 for _ in kernel), device=weight.device, dtype=weight.dtype)
        nn.init.kaiming_uniform_(single, a=5**0.5)
        self.single = nn.Parameter(single)
        self.scale, self.single_scale = nn.Parameter(length.clone()), nn.Parameter(length.clone())
        self.own_scale = nn.Parameter(length.clone()) if outputs == inputs else None
        own = torch.eye(outputs, inputs, device=weight.device, dtype=weight.dtype).view_as(single)
        self.register_buffer("own", own, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """W, of the shape of w."""
        # One operator each, forward and backward, as in torch's own parametrization.
        centre = torch._weight_norm(self.single, self.single_scale, 0)
        if self.own_scale is not None:
            centre = torch.addcmul(centre, self.own, self.own_scale)
        return torch._weight_norm(weight, self.scale, 0) + F.pad(centre, self.pads)


def _lengths(weight: Tensor) -> Tensor:
    """The Euclidean norm of each output channel's kernel, [out_channels, 1, ...]."""
    lengths: Tensor = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
    return lengths


def reparameterize(network: nn.Module) -> None:
    """Let the convolutions of `network` learn as branches, in place, until `merge` ends it.

    Those of several taps, without strides and groups, that pad with zeros. Convolutions whose weight is shared or
    computed already, such as weight-normalized ones, or starts at 0 are left alone. Parameters get other names; see
    `merge`. Until then `weight` is computed, and what a network's own code writes into its data is lost.
    """
    modules = list(network.modules())
    uses = Counter(id(each) for module in modules for each in module._parameters.values() if each is not None)
    for module in modules:
        if _can_branch(module) and uses[id(module.weight)] == 1:
            parametrize.register_parametrization(module, "weight", Branches(module.weight, _centre(module)))


def _can_branch(module: nn.Module) -> TypeGuard[nn.Conv1d | nn.Conv2d]:
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)) or type(module) not in _TYPES:
        return False
    weight = module._parameters.get("weight")
    return (
        weight is not None
        and weight.is_floating_point()
        and weight.requires_grad
        and module.groups == 1
        and set(module.stride) == {1}
        and module.padding_mode == "zeros"
        and weight[0, 0].numel() > 1
        and bool(_lengths(weight.detach()).all())
    )


def merge(network: nn.Module) -> None:
    """End what `reparameterize` began: each kernel is a parameter again, with the name it had."""
    for module in network.modules():
        chain = getattr(getattr(module, "parametrizations", None), "weight", [])
        if any(isinstance(each, Branches) for each in chain):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def _centre(conv: nn.Conv1d | nn.Conv2d) -> tuple[int, ...]:
    """The tap of each axis that reads the output's own position, as far as the convolution's own padding tells."""
    if isinstance(conv, (PaddedConv1d, PaddedConv2d)):
        before = tuple(reversed(conv.sides[::2]))
    else:
        before = tuple(side for side, _ in padded_sides(conv))
    if not any(before):  # what comes in may be padded already
        return tuple((k - 1) // 2 for k in conv.kernel_size)
    return tuple(
        min(max(0, pad // dilation), k - 1)
        for pad, dilation, k in zip(before, conv.dilation, conv.kernel_size, strict=True)
    )
