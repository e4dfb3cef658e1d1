"""Convolutions in training without their dead taps: those that only ever meet padding.

A kernel of 9 taps with dilation 15 spans 121 positions. On 8 of them, 8 of its 9 taps per axis read nothing but
zeros, and torch multiplies these all the same: in two dimensions, 80 of 81 products are for nothing. Without them
the result and all gradients are the same but for the order of sums; those of the dead taps are zero.

What is exported loses its dead taps in `dashdeploy.export.lowerings.dead_taps`, which must keep to
paddings that ONNX allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from torch import Tensor, nn

from dashdeploy.ops.conv.frame import padded_sides
from dashdeploy.ops.conv.padded_conv import PaddedConv1d, PaddedConv2d, padded_convolution

_Pads = tuple[tuple[int, int], ...]
_CONVOLVE = (nn.Conv1d._conv_forward, nn.Conv2d._conv_forward)
_FORWARDS = (nn.Conv1d.forward, nn.Conv2d.forward, PaddedConv1d.forward, PaddedConv2d.forward)


def skip_dead_taps(network: nn.Module, convolution: Callable[..., Tensor] = padded_convolution) -> None:
    """Let every convolution of `network` that pads with zeros leave out its dead taps, in place.

    Parameters and their names stay. Convolutions with a forward pass of their own, or with dilations that differ
    between the axes, are left alone.

    Args:
        network: any.
        convolution: computes them; with the arguments of `padded_convolution`.
    """
    for module in network.modules():
        if (
            isinstance(module, (nn.Conv1d, nn.Conv2d))
            and getattr(module.forward, "__func__", None) in _FORWARDS  # an instance may have its own
            and type(module)._conv_forward in _CONVOLVE
            and module.padding_mode == "zeros"
            and len(set(module.dilation)) == 1
        ):
            module.forward = partial(_forward, module, convolution)  # type: ignore[method-assign]


def _forward(conv: nn.Conv1d | nn.Conv2d, convolution: Callable[..., Tensor], x: Tensor) -> Tensor:
    spatial, pads = tuple(x.shape[2:]), _pads(conv)
    if x.dim() == len(conv.kernel_size) + 1:  # a lone sample
        return _forward(conv, convolution, x.unsqueeze(0)).squeeze(0)
    if len(spatial) != len(conv.kernel_size):
        return type(conv).forward(conv, x)  # type: ignore[arg-type]
    live = _live(spatial, conv.kernel_size, conv.dilation[0], conv.stride, pads)
    if live is None and convolution is padded_convolution:
        return type(conv).forward(conv, x)  # type: ignore[arg-type]
    weight = conv.weight
    if live is not None:
        taps, pads = live
        weight = weight[(slice(None), slice(None), *taps)]
    return convolution(x, weight, conv.bias, pads, conv.stride, conv.dilation[0], conv.groups)


def _pads(conv: nn.Conv1d | nn.Conv2d) -> _Pads:
    if isinstance(conv, (PaddedConv1d, PaddedConv2d)):
        return tuple(reversed(list(zip(conv.sides[::2], conv.sides[1::2], strict=True))))
    return padded_sides(conv)


@lru_cache(maxsize=1024)
def _live(
    spatial: tuple[int, ...], kernel: tuple[int, ...], dilation: int, stride: tuple[int, ...], pads: _Pads
) -> tuple[tuple[slice, ...], _Pads] | None:
    """The live taps of each axis and the padding that goes with them; None if nothing, or all, would be left out.

    With a stride, a tap that steps over every position counts as alive.
    """
    taps, padding = [], []
    for n, k, s, (before, after) in zip(spatial, kernel, stride, pads, strict=True):
        last = (n + before + after - dilation * (k - 1) - 1) // s * s  # where the last output's first tap is
        alive = [t for t in range(k) if t * dilation - before < n and t * dilation - before + last >= 0]
        if not alive or last < 0:
            return None
        taps.append(slice(alive[0], alive[-1] + 1))
        first = before - alive[0] * dilation
        padding.append((first, last + dilation * (len(alive) - 1) + 1 - n - first))
    if all(part == slice(0, k) for part, k in zip(taps, kernel, strict=True)):
        return None
    return tuple(taps), tuple(padding)
