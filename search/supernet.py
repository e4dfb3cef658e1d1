"""The supernet: a backbone whose convolutions are all AggConvs, and back to plain convolutions."""

from __future__ import annotations

from torch import nn

from dashdeploy.errors import InputError
from dashdeploy.ops.agg_conv import AggConv1d, Method, same_padding
from dashdeploy.run_directory import LayerArchitecture


def why_not_searched(module: nn.Conv1d) -> str | None:
    """The reason why a convolution keeps its kernel, or None if it is searched."""
    (k,), (d,), (stride,) = module.kernel_size, module.dilation, module.stride
    if k == 1:
        return "its kernel size is 1: it mixes channels, not positions"
    if stride != 1:
        return f"its stride is {stride}; only stride 1 is searched"
    if module.padding_mode != "zeros":
        return f"its padding mode is {module.padding_mode}; only zeros are searched"
    if module.padding != "same" and module.padding != (same_padding(k, d)[0],):
        return f"its padding is {module.padding}, not 'same'"
    if module.padding != "same" and d * (k - 1) % 2:
        return f"its even kernel size {k} is padded equally on both sides, so it shortens the series"
    return None


def build_supernet(
    model: nn.Module, kernel_sizes: tuple[int, ...], dilations: tuple[int, ...], method: Method
) -> dict[str, str]:
    """Replace every searchable convolution of `model`, in place, by an AggConv over the search space.

    Args:
        model: the backbone; it becomes the supernet.
        kernel_sizes: the search space K.
        dilations: the search space D.
        method: how the AggConvs are computed.

    Returns:
        The convolutions that stay as they are, by name, each with the reason.

    Raises:
        InputError: the model has no convolution that can be searched.
    """
    kept: dict[str, str] = {}
    searched = 0
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Conv1d):
            continue
        reason = why_not_searched(module)
        if reason is not None:
            kept[name] = reason
            continue
        model.set_submodule(name, AggConv1d.replacing(module, kernel_sizes, dilations, method))
        searched += 1
    if not searched:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in kept.items()) or "it has no Conv1d"
        raise InputError(f"the backbone has no convolution to search ({reasons}); choose another --backbone")
    return kept


def agg_convs(model: nn.Module) -> dict[str, AggConv1d]:
    """The AggConvs of a supernet by qualified name, in the order of ``named_modules``."""
    return {name: module for name, module in model.named_modules() if isinstance(module, AggConv1d)}


def discretize(supernet: nn.Module) -> list[LayerArchitecture]:
    """Keep of every AggConv the kernel size and dilation with the largest architecture parameter."""
    layers = []
    for name, module in agg_convs(supernet).items():
        kernel_size, dilation = module.best()
        shares = module.coefficients().detach().double().view(len(module.kernel_sizes), -1)
        layers.append(
            LayerArchitecture(name=name, kernel_size=kernel_size, dilation=dilation, alpha=shares.tolist())
        )
    return layers
