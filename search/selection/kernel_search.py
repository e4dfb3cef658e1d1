"""The search phase: which kernel size and dilation each convolution gets, by gradient descent (DASH).

The supernet mixes all candidates; its weights and architecture parameters are trained together, and of every layer
the likeliest candidate is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import phases
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.latency.loss_term import LatencyTable
from dashdeploy.search.selection.scaled_samples import with_scaled_samples
from dashdeploy.search.supernet.architecture_gradient import unmix
from dashdeploy.search.supernet.build import agg_convs, discretize
from dashdeploy.search.supernet.computation_rates import ComputationRates
from dashdeploy.search.supernet.networks import backbone_arguments, backbone_name, supernet_of
from dashdeploy.search.training.train_phase import train_phase

MOST_NAMED = 6


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        architecture: the likeliest kernels.
        latency: the content of ``latency.json``; None where the latency does not count.
        record: the training's epochs, best epoch, seconds and divergences, as JSON.
    """

    architecture: Architecture
    latency: dict[str, Any] | None
    record: dict[str, Any]


def search_kernels(
    task: Task,
    settings: RunSettings,
    kept: Mapping[str, str],
    folder: Path,
    *,
    rates: ComputationRates | None = None,
    latencies: LatencyTable | None = None,
    seconds: float | None = None,
    progress: Progress = silent,
) -> Found:
    """Train the supernet and keep one candidate per layer.

    Args:
        task: the data; the test split is not looked at.
        settings: the search space, and every hyperparameter.
        kept: the convolutions that are not searched, each with the reason; see `supernet_of`.
        folder: the unfinished run, with the phase's checkpoint and the history.
        rates: by which AggConvs choose how they are computed; None takes the device's table.
        latencies: what candidates cost, if that counts.
        seconds: how long it may take; None is as long as it needs.
        progress: told of what is searched, and of the epochs.

    Raises:
        DivergedError: it diverged too often.
        KeyboardInterrupt: the user interrupted it.
    """

    def supernet() -> nn.Module:
        by = () if rates is None else (rates.rates, rates.choices)
        model = supernet_of(task, settings, *by)[0]
        for line in _in_words(len(agg_convs(model)), kept):
            progress(line)
        return model

    trained = train_phase(
        supernet,
        task,
        phases(settings)["search"],
        settings,
        folder,
        latencies=latencies,
        seconds=seconds,
        progress=progress,
    )
    network, latency = trained.module.network, trained.module.latency
    layers = list(agg_convs(network).values())
    unmix(layers, settings)
    choices, latency_record = None, None
    if latency is not None:
        choices = latency.choose(layers)
        with torch.no_grad():
            expected = float(latency.expected(layers))
        grid = len(settings.kernel_sizes), len(settings.dilations)
        latency_record = latency.record(expected, choices, grid)
    architecture = Architecture(
        backbone=backbone_name(task, settings),
        arguments=backbone_arguments(task, settings, retrain=True),
        searched_arguments=dict(settings.searched_arguments),
        kernel_sizes=list(settings.kernel_sizes),
        dilations=list(settings.dilations),
        layers=discretize(network, choices),
        kept=dict(kept),
    )
    if settings.scale_samples:
        architecture = with_scaled_samples(architecture)
    return Found(architecture, latency_record, trained.record)


def _in_words(searched: int, kept: Mapping[str, str]) -> list[str]:
    """How many convolutions are searched, and which stay, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in kept.items():
        reasons.setdefault(reason, []).append(name)
    lines = [f"searching {searched} convolution{'s' if searched > 1 else ''}"]
    for reason, names in reasons.items():
        listed = ", ".join(names[:MOST_NAMED])
        more = f" and {len(names) - MOST_NAMED} more" if names[MOST_NAMED:] else ""
        lines.append(f"kept as it is: {listed}{more}: {reason}")
    return lines
