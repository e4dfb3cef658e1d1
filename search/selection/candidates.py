"""What is on a short list: what the search found, one kernel everywhere, and what the backbone had."""

from __future__ import annotations

import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture, LayerArchitecture
from dashdeploy.backbones.build import build_backbone


def shortlist(found: Architecture, count: int) -> list[Architecture]:
    """The candidates, what was found first and the backbone's own kernels last.

    Between them, as many as there is room for: the one kernel and dilation that all layers together favour, for every
    layer, since the mean over layers is surer than any of them; the largest kernel everywhere with each dilation, the
    likeliest first, which are the receptive fields that there are; what was found in the half of the layers whose
    alpha has the least entropy, with the original kernels in the others.

    Args:
        found: what the search found.
        count: candidates at most; those that are the same are listed once.
    """
    original = found.model_copy(update={"layers": original_layers(found)})
    listed = [found]
    for layers in (favourite_layers(found), *_ladder(found), _half(found, original.layers)):
        candidate = found.model_copy(update={"layers": layers})
        if len(listed) < count - 1 and candidate not in (*listed, original):
            listed.append(candidate)
    return listed if count == 1 or found == original else [*listed, original]


def _ladder(found: Architecture) -> list[list[LayerArchitecture]]:
    """The largest kernel everywhere, with each dilation; the dilations that alpha prefers come first."""
    shares = torch.tensor([layer.alpha for layer in found.layers]).mean(0)
    largest = max(range(len(found.kernel_sizes)), key=lambda i: found.kernel_sizes[i])
    order = shares.sum(0).argsort(descending=True, stable=True).tolist()
    return [_everywhere(found, largest, column) for column in order]


def _half(found: Architecture, original: list[LayerArchitecture]) -> list[LayerArchitecture]:
    by_entropy = sorted(range(len(original)), key=lambda i: found.layers[i].entropy)
    taken = by_entropy[: round(len(original) / 2)]
    return [found.layers[i] if i in taken else layer for i, layer in enumerate(original)]


def _everywhere(found: Architecture, row: int, column: int) -> list[LayerArchitecture]:
    kernel = {"kernel_size": found.kernel_sizes[row], "dilation": found.dilations[column]}
    return [layer.model_copy(update=kernel) for layer in found.layers]


def favourite_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the one kernel and dilation whose share of alpha is largest in the mean over them."""
    shares = torch.tensor([layer.alpha for layer in found.layers]).mean(0)
    return _everywhere(found, *divmod(int(shares.argmax()), len(found.dilations)))


def original_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the backbone's own kernels."""
    modules = dict(build_backbone(found.backbone, found.own_arguments).named_modules())

    def original(layer: LayerArchitecture) -> LayerArchitecture:
        conv = modules[layer.name]
        assert isinstance(conv, (nn.Conv1d, nn.Conv2d))
        kernel = {"kernel_size": int(conv.kernel_size[0]), "dilation": int(conv.dilation[0])}
        return layer.model_copy(update={**kernel, "original": True})

    return [original(layer) for layer in found.layers]
