"""What is on a short list: mixtures of what the search found and what the backbone had."""

from __future__ import annotations

import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture, LayerArchitecture
from dashdeploy.backbones.build import build_backbone


def shortlist(found: Architecture, count: int) -> list[Architecture]:
    """The candidates, what was found first and the backbone's own kernels last.

    Between them: the one kernel and dilation that all layers together favour, for every layer, since the mean over
    layers is surer than any of them; then what was found in ever fewer layers, those with the least entropy of alpha.

    Args:
        found: what the search found.
        count: candidates; those that are the same are listed once.
    """
    layers, original = found.layers, original_layers(found)
    by_entropy = sorted(range(len(layers)), key=lambda i: layers[i].entropy)
    steps = max(1, count - 1 if count < 3 else count - 2)  # the favourite is no step
    mixtures = []
    for step in range(min(count, steps + 1)):
        taken = by_entropy[: round(len(layers) * (1 - step / steps))]
        mixtures.append([layer if i in taken else original[i] for i, layer in enumerate(layers)])
    if count > 2:
        mixtures.insert(1, favourite_layers(found))
    listed: list[Architecture] = []
    for mixture in mixtures:
        candidate = found.model_copy(update={"layers": mixture})
        if candidate not in listed:
            listed.append(candidate)
    return listed


def favourite_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the one kernel and dilation whose share of alpha is largest in the mean over them."""
    shares = torch.tensor([layer.alpha for layer in found.layers]).mean(0)
    row, column = divmod(int(shares.argmax()), len(found.dilations))
    kernel = {"kernel_size": found.kernel_sizes[row], "dilation": found.dilations[column]}
    return [layer.model_copy(update=kernel) for layer in found.layers]


def original_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the backbone's own kernels."""
    modules = dict(build_backbone(found.backbone, found.arguments).named_modules())

    def original(layer: LayerArchitecture) -> LayerArchitecture:
        conv = modules[layer.name]
        assert isinstance(conv, (nn.Conv1d, nn.Conv2d))
        kernel = {"kernel_size": int(conv.kernel_size[0]), "dilation": int(conv.dilation[0])}
        return layer.model_copy(update={**kernel, "original": True})

    return [original(layer) for layer in found.layers]
