"""Measures which computation of each AggConv is quickest on a device, forward and backward.

`cost` counts with rates of small pieces of work. The kernels of a GPU are less regular than that: so on a GPU each
distinct layer of a supernet is timed in each way, and the count serves where nothing was timed, as for other batches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch

from dashdeploy.ops.aggconv.cost import Choice, Layer, best_tile, cheapest
from dashdeploy.ops.aggconv.device_rates import seconds_of
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.ops.aggconv.taps import tap_plan

SECONDS = 2.0
"""How long it is measured, besides two calls of each way that load its kernels."""


def measured_choices(
    layers: Sequence[tuple[AggConv, tuple[int, ...]]],
    batch: int,
    device: torch.device,
    rates: Rates,
    *,
    dtype: torch.dtype | None = None,
    seconds: float = SECONDS,
) -> dict[str, Choice]:
    """The quickest computation of each distinct layer, by its signature; layers and the random state stay.

    Args:
        layers: each with the spatial extents of its input.
        batch: samples of a step.
        device: where they are timed.
        rates: by which the tile length of the Fourier method is chosen.
        dtype: the precision of autocast; None is float32.
        seconds: about how long, all together.
    """
    distinct = {layer.signature(spatial, batch): (layer, spatial) for layer, spatial in layers}
    share = seconds / max(1, 3 * len(distinct))
    return {
        name: _quickest(layer, spatial, batch, device, rates, dtype, share)
        for name, (layer, spatial) in distinct.items()
    }


def _quickest(
    layer: AggConv,
    spatial: tuple[int, ...],
    batch: int,
    device: torch.device,
    rates: Rates,
    dtype: torch.dtype | None,
    seconds: float,
) -> Choice:
    moved = copy.deepcopy(layer).to(device)
    moved.mixing = None
    plan = tap_plan(moved.kernel_sizes, moved.dilations, moved.frame, spatial, device)
    counted = Layer(plan, moved.frame, batch, moved.in_channels, moved.out_channels, moved.groups, rates)
    ways: list[Choice] = [("per-dilation", 0), ("mixed-weights", 0), ("fourier", best_tile(counted))]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, moved.in_channels, *spatial, generator=generator).to(device).requires_grad_()
    took: dict[Choice, float] = {}
    for way in ways:
        moved.choices = {moved.signature(spatial, batch): way}

        def run() -> None:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                y = moved(x)
            torch.autograd.grad(y.float().sum(), (x, moved.weight, moved.alpha))

        try:
            took[way] = seconds_of(run, device, seconds)
        except torch.OutOfMemoryError:
            continue
    return min(took, key=lambda way: took[way]) if took else cheapest(counted)


def choices_as_json(choices: Mapping[str, Choice]) -> dict[str, list[str | int]]:
    """`choices` as JSON has them."""
    return {name: [method, tile] for name, (method, tile) in choices.items()}


def choices_from_json(content: object) -> dict[str, Choice]:
    """What `choices_as_json` gave.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise ValueError("not choices of AggConv's computations")
    found: dict[str, Choice] = {}
    for name, value in content.items():
        match value:
            case [("per-dilation" | "mixed-weights" | "fourier") as method, int(tile)] if tile >= 0:
                found[str(name)] = method, tile
            case _:
                raise ValueError(f"{value!r} does not name a computation of an AggConv")
    return found
