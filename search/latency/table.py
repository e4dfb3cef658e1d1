"""Makes the table of latencies: the convolution that each candidate would be, and its cost on the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import nn

from dashdeploy.backbones.build import build_backbone
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.export.planning.candidate_costs import CandidateCosts, ConvSpec
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.ops.conv.frame import same_padding
from dashdeploy.ops.conv.padded_conv import PaddedConv1d, PaddedConv2d, with_kernel
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.names import TargetName
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.latency.loss_term import LatencyTable
from dashdeploy.search.supernet.networks import backbone_name, network_arguments
from dashdeploy.search.supernet.probe import probe

ON_THIS_MACHINE = (
    TargetName.ORT_CPU,
    TargetName.ORT_WEB,
    TargetName.OPENVINO,
    TargetName.MNN,
    TargetName.IREE,
    TargetName.LITERT,
    TargetName.NATIVE,
)


def latency_table(
    task: Task,
    settings: RunSettings,
    layers: dict[str, AggConv],
    progress: Progress = silent,
) -> LatencyTable:
    """The costs of every candidate in the network that is retrained.

    Args:
        task: tells the input's shape.
        settings: the target, and the backbone's arguments.
        layers: the supernet's AggConvs.
        progress: told of each measurement before it starts.

    Raises:
        InputError: no candidates keep to the budget, or the device does not exist.
        MissingCapabilityError: the target's engine or device is not here.
    """
    tune = settings.latency_costs
    if tune == "auto":
        tune = "measure" if settings.latency_target in ON_THIS_MACHINE else "estimate"
    costs = CandidateCosts(settings.latency_target, settings.latency_device, tune, progress)
    model = build_backbone(backbone_name(task, settings), network_arguments(task, settings, retrain=True))
    with torch.random.fork_rng(devices=[]):
        seen = probe(model, task.input_shape)
        modules = dict(model.named_modules())

        def cost(conv: nn.Module, name: str) -> float:
            spec = spec_of(cast("nn.Conv1d | nn.Conv2d", conv), seen[name].spatial)
            return costs.milliseconds(spec, name)

        rows, originals = [], []
        for name, layer in layers.items():
            conv = cast("nn.Conv1d | nn.Conv2d", modules[name])
            rows.append(
                tuple(
                    cost(with_kernel(conv, k, d, causal=layer.frame.causal), name)
                    for k, d in layer.candidates
                )
            )
            originals.append(cost(conv, name))
        fixed = sum(cost(modules[name], name) for name in seen if name not in layers)
    table = LatencyTable(
        target=TargetName(settings.latency_target),
        device=costs.device,
        costs={"measure": "measured", "estimate": "estimated"}[tune],
        layers=tuple(layers),
        milliseconds=tuple(rows),
        backbone=tuple(originals),
        fixed=fixed,
    )
    if settings.latency_budget is not None and table.least > settings.latency_budget:
        raise InputError(
            f"`latency_budget={settings.latency_budget:g}ms`: the convolutions with the cheapest kernels take "
            f"{table.least:.4g} ms on {settings.latency_target}; raise the budget, or choose a smaller `width`"
        )
    return table


def spec_of(conv: nn.Conv1d | nn.Conv2d, spatial: Sequence[int]) -> ConvSpec:
    """The convolution on inputs of the extents `spatial`, as the compiler sees it."""
    rank = len(conv.kernel_size)
    if isinstance(conv, (PaddedConv1d, PaddedConv2d)):
        pairs = list(zip(conv.sides[::2], conv.sides[1::2], strict=True))
        sides = pairs[::-1]  # F.pad counts axes from the last
    elif conv.padding == "same":
        sides = [same_padding(k, d) for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    elif conv.padding == "valid":
        sides = [(0, 0)] * rank
    else:
        sides = [(int(pad), int(pad)) for pad in conv.padding]
    # A negative side crops the input.
    extents = tuple(n + min(lo, 0) + min(hi, 0) for n, (lo, hi) in zip(spatial, sides, strict=True))
    return ConvSpec(
        in_channels=conv.in_channels,
        out_channels=conv.out_channels,
        groups=conv.groups,
        spatial=extents,
        kernel=tuple(conv.kernel_size),
        strides=tuple(conv.stride),
        dilations=tuple(conv.dilation),
        pads_begin=tuple(max(lo, 0) for lo, _ in sides),
        pads_end=tuple(max(hi, 0) for _, hi in sides),
        bias=conv.bias is not None,
    )


def table_as_json(table: LatencyTable) -> dict[str, Any]:
    """`table` as JSON has it."""
    return asdict(table)


def table_from_json(content: Mapping[str, Any]) -> LatencyTable:
    """The table that `table_as_json` gave."""
    lists = {name: tuple(content[name]) for name in ("layers", "backbone")}
    return LatencyTable(**{**content, **lists, "milliseconds": tuple(map(tuple, content["milliseconds"]))})
