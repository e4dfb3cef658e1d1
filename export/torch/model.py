"""The searched network as a torch module whose convolutions follow the plan, and the files it is saved in."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.torch.layers import torch_layer


@dataclass(frozen=True)
class LoweredModule:
    """A torch module with lowered convolutions.

    Attributes:
        module: in evaluation mode.
        layers: how each convolution of the plan is computed in it, by name.
    """

    module: nn.Module
    layers: dict[str, str]


def lower_module(
    module: nn.Module, lowerings: Mapping[str, Lowering], specs: Mapping[str, ConvSpec | None]
) -> LoweredModule:
    """A copy of `module` with the named convolutions replaced.

    A layer of the plan that is not a module of its own (a functional call, a parametrized weight) stays torch's.

    Args:
        module: in evaluation mode.
        lowerings: by layer name; layers that are not named stay as they are.
        specs: every convolution of the plan, by layer name.
    """
    lowered = copy.deepcopy(module)
    modules = dict(lowered.named_modules())
    layers = dict.fromkeys(specs, "direct")
    for name, lowering in lowerings.items():
        spec, conv = specs.get(name), modules.get(name)
        if spec is None or not isinstance(conv, (nn.Conv1d, nn.Conv2d)) or not _is_all_of(conv, spec):
            continue
        bias = None if conv.bias is None else conv.bias.detach().numpy()
        replacement = torch_layer(lowering, spec, conv.weight.detach().numpy(), bias)
        if replacement is not None:
            parent, _, leaf = name.rpartition(".")
            setattr(modules[parent], leaf, replacement.eval())
            layers[name] = lowering.label
    return LoweredModule(lowered.eval(), layers)


def _is_all_of(conv: nn.Conv1d | nn.Conv2d, spec: ConvSpec) -> bool:
    """Whether the module pads as the convolution of the graph does, so that one can stand for the other."""
    rank = spec.rank
    if conv.padding_mode != "zeros" or tuple(conv.weight.shape[2:]) != spec.kernel:
        return False
    if conv.padding == "same":
        total = [d * (k - 1) for d, k in zip(spec.dilations, spec.kernel, strict=True)]
        return spec.pads_begin == tuple(n // 2 for n in total) == spec.pads_end
    pads = (0,) * rank if conv.padding == "valid" else conv.padding
    return spec.pads_begin == pads == spec.pads_end


def save_torchscript(module: nn.Module, sample: torch.Tensor, path: Path) -> None:
    """Trace `module` and save it; the batch stays free.

    Args:
        module: in evaluation mode.
        sample: [batch, channels, *spatial].
        path: the file to write.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript; whoever asks for it knows why
        traced = torch.jit.trace(module, sample, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), path)


def save_pt2(module: nn.Module, sample: torch.Tensor, path: Path) -> None:
    """Export `module` with a dynamic batch and save it in torch.export's format; otherwise as the above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            module, (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
        )
        torch.export.save(program, path)
