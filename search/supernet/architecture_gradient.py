"""What happens to the architecture parameters in each step of the search, besides gradient descent.

Before the forward pass: temperature and Gumbel noise. After the backward pass: the scale of their gradient and the
pressure against large fields. `RunSettings` says where each comes from.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dashdeploy.device_constants import constant_like
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.search.config.run_settings import RunSettings


def temperature(settings: RunSettings, progress: float) -> float:
    """The temperature when the part `progress` (0 to 1) of the search is done."""
    return float(settings.temperature * (settings.final_temperature / settings.temperature) ** progress)


def mix(layers: Iterable[AggConv], settings: RunSettings, progress: float, *, noise: bool) -> None:
    """Set the mixing coefficients for the next pass: softmax((alpha + Gumbel noise) / temperature).

    Args:
        layers: the supernet's AggConvs.
        settings: the temperatures, and whether there is noise at all.
        progress: part of the search that is done.
        noise: False in evaluation, which judges the mixture itself.
    """
    tau = temperature(settings, progress)
    for layer in layers:
        logits = layer.alpha.flatten()
        if noise and settings.gumbel_noise:
            # -log of an exponential variate is Gumbel distributed.
            logits = logits - torch.empty_like(logits).exponential_().log()
        layer.mixing = (logits / tau).softmax(0)


def unmix(layers: Iterable[AggConv], settings: RunSettings) -> None:
    """Back to the softmax of alpha, with alpha divided by the final temperature so that the mixture stays."""
    for layer in layers:
        layer.mixing = None
        with torch.no_grad():
            layer.alpha.div_(settings.final_temperature)


def shape_gradients(layers: Iterable[AggConv], settings: RunSettings) -> None:
    """Scale the gradients of alpha, then add the pressure against large fields."""
    layers = [layer for layer in layers if layer.alpha.grad is not None]
    gradients = [_gradient(layer) for layer in layers]
    if settings.alpha_gradient == "total" and gradients:
        total = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_(settings.alpha_gradient_norm / total.clamp_min(1e-12))
    elif settings.alpha_gradient == "layer":
        for gradient in gradients:
            gradient.mul_(settings.alpha_gradient_norm / gradient.norm().clamp_min(1e-12))
    if settings.field_pressure:
        for layer, gradient in zip(layers, gradients, strict=True):
            fields = tuple(float(d * (k - 1) + 1) for k, d in layer.candidates)
            gradient.add_(settings.field_pressure * constant_like(fields, gradient).view_as(gradient))


def _gradient(layer: AggConv) -> Tensor:
    assert layer.alpha.grad is not None
    return layer.alpha.grad
