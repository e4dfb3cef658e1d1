"""The supernet: any network whose convolutions have become AggConvs, and back to plain convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dashdeploy.artifacts.run import LayerArchitecture
from dashdeploy.backbones.build import replace
from dashdeploy.errors import InputError, first_line
from dashdeploy.ops.aggconv.methods import Method
from dashdeploy.ops.aggconv.module import AggConv, AggConv1d, AggConv2d
from dashdeploy.ops.conv.frame import frame_of, pads_itself
from dashdeploy.ops.conv.padded_conv import has_weight_norm
from dashdeploy.search.supernet.probe import FAILURES, Seen, probe, run_once

SHORTCUTS = ("shortcut", "skip")
"""Parts of a name that mark a shortcut; as in DASH, shortcuts keep their kernels."""


def why_not_searched(
    module: nn.Module, name: str = "", *, seen: Seen | None = None, exclude: Sequence[str] = ()
) -> str | None:
    """The reason why a convolution keeps its kernel, or None if it is searched.

    Args:
        module: a convolution of any kind.
        name: its qualified name.
        seen: what `probe` saw of it, if there was a probe.
        exclude: patterns of names to leave alone, with ``*`` and ``?``.
    """
    pattern = next((pattern for pattern in exclude if fnmatchcase(name, pattern)), None)
    if pattern is not None:
        return f"it is excluded by {pattern!r}"
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return f"it is a {type(module).__name__}; only Conv1d and Conv2d are searched"
    kernel, dilation = set(module.kernel_size), set(module.dilation)
    if kernel == {1}:
        return "its kernel size is 1: it mixes channels, not positions"
    if len(kernel) > 1 or len(dilation) > 1:
        return f"its kernel {module.kernel_size} or dilation {module.dilation} differs between the axes"
    if any(part in SHORTCUTS for part in name.split(".")):
        return "it is a shortcut, by its name"
    if module.padding_mode != "zeros":
        return f"its padding mode is {module.padding_mode}; only zeros are searched"
    if module.kernel_size == module.stride and module.padding in ("valid", (0,) * len(module.stride)):
        return "its kernel is as long as its stride: it cuts patches"
    if hasattr(module, "parametrizations") and not has_weight_norm(module):
        return "its weight is parametrized by something other than weight norm"
    if seen is not None and pads_itself(module):
        frame = frame_of(module, causal=seen.causal)
        if frame.out(seen.spatial) != seen.out:
            return f"its class {type(module).__name__} has a forward of its own that changes the length"
    return None


def build_supernet(
    model: nn.Module,
    kernel_sizes: Sequence[int],
    dilations: Sequence[int],
    method: Method = "auto",
    *,
    input_shape: Sequence[int] | None = None,
    exclude: Sequence[str] = (),
    separable: bool = False,
) -> dict[str, str]:
    """Replace every searchable convolution of `model`, in place, by an AggConv over the search space.

    Args:
        model: the backbone, any module; it becomes the supernet.
        kernel_sizes: the search space K.
        dilations: the search space D.
        method: how the AggConvs are computed.
        input_shape: shape of one sample; with it a forward pass finds out which convolutions are causal and
            which are never used.
        exclude: patterns of names to leave alone.
        separable: whether layers with equal channels are searched depthwise, as DASH's released code does.

    Returns:
        The convolutions that stay as they are, by name, each with the reason.

    Raises:
        InputError: the model has no convolution that can be searched, does not take such input, or does not run
            with the AggConvs.
    """
    kept: dict[str, str] = {}
    searched = 0
    seen = None if input_shape is None else probe(model, input_shape)
    for name, module in list(model.named_modules()):
        # Every kind of convolution is looked at, so that whatever stays has its reason.
        if not isinstance(module, nn.modules.conv._ConvNd):
            continue
        reason = why_not_searched(module, name, seen=(seen or {}).get(name), exclude=exclude)
        if reason is None and seen is not None and name not in seen:
            reason = "the forward pass never uses it"
        if not name:
            reason = "it is the network itself; put it into an nn.Sequential"
        if reason is not None:
            kept[name] = reason
            continue
        assert isinstance(module, (nn.Conv1d, nn.Conv2d))
        cls = AggConv1d if isinstance(module, nn.Conv1d) else AggConv2d
        causal = seen is not None and seen[name].causal
        agg_conv = cls.replacing(module, kernel_sizes, dilations, method, causal=causal, separable=separable)
        if has_weight_norm(module):
            parametrize.register_parametrization(agg_conv, "weight", CandidateNorm(agg_conv))
        replace(model, module, agg_conv)
        searched += 1
    if not searched:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in kept.items()) or "it has none at all"
        raise InputError(f"the backbone has no convolution to search ({reasons}); choose another `backbone`")
    if input_shape is not None:
        _check_runs(model, input_shape)
    return kept


def _check_runs(supernet: nn.Module, input_shape: Sequence[int]) -> None:
    try:
        run_once(supernet, input_shape)
    except FAILURES as error:
        raise InputError(
            f"the backbone does not run with searched convolutions in their places: {first_line(error)}; name the "
            "convolutions whose attributes its forward pass uses with `exclude`"
        ) from error


def agg_convs(model: nn.Module) -> dict[str, AggConv]:
    """The AggConvs of a supernet by qualified name, in the order of ``named_modules``."""
    return {name: module for name, module in model.named_modules() if isinstance(module, AggConv)}


def discretize(supernet: nn.Module, choices: Sequence[int] | None = None) -> list[LayerArchitecture]:
    """Keep one kernel size and dilation of every AggConv.

    Args:
        supernet: the searched network.
        choices: the candidate of every layer; None takes the one with the largest architecture parameter.
    """
    layers = []
    for index, (name, module) in enumerate(agg_convs(supernet).items()):
        kernel_size, dilation = module.best() if choices is None else module.candidates[choices[index]]
        shares: Tensor = module.coefficients().detach().double().view(len(module.kernel_sizes), -1)
        layers.append(
            LayerArchitecture(
                name=name,
                kernel_size=kernel_size,
                dilation=dilation,
                alpha=shares.tolist(),
                causal=module.frame.causal,
            )
        )
    return layers


class CandidateNorm(nn.Module):
    """Weight norm for an AggConv's weight [taps, out, in / groups]: every candidate has a direction and a length.

    T. Salimans, D. P. Kingma, "Weight normalization", NeurIPS 2016, equation 2: w = g v / |v|, per output channel. A
    candidate is normalized as the convolution that it stands for would be.

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
